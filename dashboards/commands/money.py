"""`prices`, `reprice`, `reconcile`, `report`, `close`: what finance does with costs."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from collector.settings import Settings
from dashboards import format
from dashboards.commands import tables
from dashboards.commands.asking import (
    OK,
    USAGE,
    CommandError,
    ask,
    checked,
    params_of,
    print_json,
    print_pieces,
    whoever_answers,
)
from dashboards.commands.tables import Column


def prices(args: Namespace, settings: Settings) -> int:
    """The price book, or what it has no price for."""
    if args.unpriced:
        reply = ask(settings, "/api/v1/prices/unpriced", params_of(args, "from", "to"))
        names: tuple[str, ...] = ("pricing", "provider", "model")
        numbers: tuple[str, ...] = ("calls", "input_tokens", "output_tokens")
    else:
        reply = ask(settings, "/api/v1/prices", params_of(args, "provider", "model", "source", "limit", "cursor"))
        names = ("kind", "provider", "model", "unit", "usd", "valid_from", "valid_to", "context", "tenant", "source")
        numbers = ("per",)
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    columns: list[Column] = [(name.replace("_", " "), "left", tables.text(name)) for name in names]
    columns += [(name.replace("_", " "), "right", tables.count(name)) for name in numbers]
    if answer["items"]:
        tables.print_table(columns, answer["items"])
    else:
        tables.say("Every call has a price." if args.unpriced else "No price matches.")
    tables.say_currency(answer)
    return OK


def reprice(args: Namespace, settings: Settings) -> int:
    """Show or do a repricing, take one back, or list them."""
    with whoever_answers(settings) as source:
        if args.list:
            reply = checked(source.get("/api/v1/reprices"))
        elif args.undo is not None:
            reply = checked(source.post(f"/api/v1/reprices/{args.undo}/undo", {}))
        else:
            asked = params_of(args, "from", "to", "model") | {"dry_run": args.dry_run}
            reply = checked(source.post("/api/v1/reprices", asked))
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    named = ("reprice", "undoes", "at", "actor", "model") if args.list else ("day", "provider", "model", "tool")
    columns: list[Column] = [
        *((name, "left", _text(name)) for name in named),
        ("calls", "right", tables.count("calls")),
        ("changed", "right", tables.count("changed_calls")),
        ("before", "right", _repriced("old")),
        ("after", "right", _repriced("new")),
        ("difference", "right", tables.usd("difference_usd")),
    ]
    tables.print_table(columns, answer["items"])
    if not args.list:
        done = f"Repricing {answer['reprice']}: " if answer["reprice"] else "Nothing was changed. It would be: "
        tables.say(
            f"{done}{answer['changed_calls']:,} of {answer['calls']:,} calls, {format.usd(answer['old_usd'])} "
            f"to {format.usd(answer['new_usd'])}, by {answer['price_version']}."
        )
        lost = sum(max(row["old_priced_calls"] - row["new_priced_calls"], 0) for row in answer["items"])
        if lost:
            tables.say(f"{format.count(lost)} calls that had a price have none in it: they become unpriced.", "yellow")
    return OK


def reconcile(args: Namespace, settings: Settings) -> int:
    """A provider's export against what was recorded."""
    path = Path(args.file)
    try:
        data = path.read_bytes()
    except OSError as e:
        raise CommandError(f"{path} cannot be read ({e.strerror}): name a readable file", USAGE) from e
    with whoever_answers(settings) as source:
        reply = checked(source.post(f"/api/v1/reconciliations?name={quote(path.name)}", data))
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    total = {"day": "total", "model": "", "sentence": "", **answer["total"]}
    columns: list[Column] = [
        ("day", "left", tables.text("day")),
        ("model", "left", tables.text("model")),
        ("billed tokens", "right", _tokens("billed")),
        ("recorded tokens", "right", _tokens("recorded")),
        ("billed", "right", lambda r: _told(r["billed"]["cost_usd"])),
        ("recorded", "right", lambda r: format.usd(r["recorded"]["cost_usd"])),
        ("likely reason", "wrap", tables.text("sentence")),
    ]
    tables.say(f"{answer['format']}, compared by day (UTC) and model.")
    tables.print_table(columns, [*answer["items"], total])
    tables.say_currency(answer)
    return OK


def report(args: Namespace, settings: Settings) -> int:
    """Costs or FOCUS rows as a file, streamed."""
    if args.unpriced and not args.focus:
        raise CommandError("--unpriced belongs to --focus: `prices --unpriced` lists models without a price", USAGE)
    if args.focus and (args.group_by or args.preset):
        raise CommandError("--focus has rows of its own: leave --group-by and --preset out", USAGE)
    if args.group_by and args.preset:
        raise CommandError("--preset is a grouping: leave --group-by out", USAGE)
    period = params_of(args, "tenant", "from", "to", "tz")
    path, asked = "/api/v1/reports", params_of(args, "group_by", "preset")
    if args.focus:
        path, asked = "/api/v1/reports/focus", {"unpriced": "true"} if args.unpriced else {}
    with whoever_answers(settings) as source:
        _write(source.stream(path, period | asked | {"format": args.format}), args.out)
    return OK


def close(args: Namespace, settings: Settings) -> int:
    """Close a month, show one, or list those that are closed."""
    with whoever_answers(settings) as source:
        if args.month and args.group_by is None:
            reply = checked(source.post(f"/api/v1/months/{quote(args.month, safe='')}", {}))
        elif args.month:
            asked = {"group_by": args.group_by}
            reply = checked(source.get(f"/api/v1/months/{quote(args.month, safe='')}", asked))
        else:
            reply = checked(source.get("/api/v1/months"))
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    if args.month and args.group_by is not None:
        keys = [key for key in args.group_by.split(",") if key]
        columns: list[Column] = [
            *((key, "left", tables.text(key)) for key in keys),
            ("entry", "left", lambda r: "as closed" if r["entry"] == 0 else f"correction {r['entry']}"),
            ("at", "left", lambda r: format.utc(r["at"])),
            ("calls", "right", tables.count("llm_calls")),
            ("cost", "right", tables.usd("cost_usd")),
        ]
    else:
        columns = [
            ("month", "left", tables.text("month")),
            ("closed", "left", lambda r: format.utc(r["closed_at"])),
            ("by", "left", tables.text("actor")),
            ("as closed", "right", tables.usd("frozen_usd")),
            ("corrections", "right", tables.usd("corrections_usd")),
            ("now", "right", tables.cost),
        ]
    tables.print_table(columns, answer.get("items", [answer]))
    if answer.get("llm_calls") == 0:
        tables.say("No model call started in it: what still comes will be corrections.", "yellow")
    return OK


def _write(pieces: Iterator[bytes], out: str | None) -> None:
    """To a file that is there whole or not at all, or to standard output; a terminal is shown how much there is."""
    if out is None:
        print_pieces(pieces)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    part, size = Path(out + ".part"), 0
    try:
        with part.open("wb") as file, Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task(format.inert(Path(out).name), total=None)
            for piece in pieces:
                size += file.write(piece)
                progress.update(task, completed=size)
        part.rename(out)
    except (ConnectionError, TimeoutError):
        raise  # of the server, not of the file
    except OSError as e:
        raise CommandError(f"{out} cannot be written ({e.strerror}): name another file", USAGE) from e
    finally:
        part.unlink(missing_ok=True)


def _told(amount: str | None) -> str:
    """An amount, or that the export does not tell it."""
    return format.NONE if amount is None else format.usd(amount)


def _repriced(side: str) -> Any:
    """What calls cost before or after a repricing, with their coverage; an audit does not tell it."""

    def cell(row: dict[str, Any]) -> str:
        priced, amount = row.get(f"{side}_priced_calls"), row[f"{side}_usd"]
        if priced is None or priced == row["calls"]:
            return format.usd(amount)
        return f"{format.usd(amount)} ({format.percent(priced / row['calls'])} priced)" if priced else format.usd(None)

    return cell


def _text(name: str) -> Any:
    return lambda row: "" if row.get(name) is None else format.inert(str(row[name]))


def _tokens(side: str) -> Any:
    return lambda row: tables.tokens(row[side])
