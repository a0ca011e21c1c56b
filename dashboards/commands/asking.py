"""Puts a question to whoever can answer: the server that runs on the data folder, else the store itself."""

import http.client
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from collector.errors import Busy
from collector.settings import Settings
from dashboards.client import Remote, Reply, StreamRefused, running

if TYPE_CHECKING:  # opening a store takes half a second of imports that a running server saves
    from dashboards.local import Local

OK, NO, USAGE, UNREACHABLE = 0, 1, 2, 3


class CommandError(Exception):
    """The command ends with `code`; the text says why and what to do."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@contextmanager
def whoever_answers(settings: Settings, *, current: bool = True) -> "Iterator[Remote | Local]":
    """The running server, or the store opened for this command (`current`: after the jobs have read everything).

    Raises StoreError, CommandError.
    """
    if server := running(settings.data):
        try:
            yield Remote(server)
        except StreamRefused as e:
            checked(e.reply)
        except http.client.IncompleteRead as e:
            broken = f"the answer of the server at {server.pages} broke off and is not complete: see its log"
            raise CommandError(broken, UNREACHABLE) from e
        except (OSError, http.client.HTTPException) as e:
            why = f"the server at {server.pages} did not answer ({type(e).__name__}): see its log"
            raise CommandError(why, UNREACHABLE) from e
        return
    if not (settings.data / "spanledger.duckdb").exists():
        remedy = "start `spanledger serve`, import a file, or name another folder with --data"
        raise CommandError(f"{settings.data} holds no store: {remedy}", UNREACHABLE)
    from dashboards.local import Local  # noqa: PLC0415 - see above

    local = Local(settings, current=current)
    try:
        yield local
    except StreamRefused as e:
        checked(e.reply)
    except Busy as e:
        raise CommandError(e.reason, UNREACHABLE) from e
    finally:
        local.close()


def ask(settings: Settings, path: str, params: Mapping[str, Any] | None = None) -> Reply:
    """The answer to one question. Raises CommandError where it is refused."""
    with whoever_answers(settings) as source:
        return checked(source.get(path, params))


def checked(reply: Reply) -> Reply:
    """The reply, if it answers the question. Raises CommandError with what the API says otherwise."""
    if reply.status < 400:
        return reply
    try:
        detail = str(reply.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"the answer was status {reply.status}"
    raise CommandError(detail, {404: NO, 400: USAGE}.get(reply.status, UNREACHABLE))


def print_json(reply: Reply) -> None:
    """One document on stdout, as the API gave it."""
    sys.stdout.write(reply.body.decode() + "\n")


def print_pieces(pieces: Iterator[bytes]) -> None:
    """A long answer on stdout, until it ends or its reader had enough."""
    try:
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def params_of(args: Namespace, *names: str) -> dict[str, Any]:
    """The named options as parameters of the API."""
    return {name: value for name in names if (value := getattr(args, name)) not in (None, [])}
