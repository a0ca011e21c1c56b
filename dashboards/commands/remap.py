"""`remap`: stored spans read again with better dialect tables."""

from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from collector.settings import Settings
from dashboards import format
from dashboards.client import Remote, Reply
from dashboards.commands import tables
from dashboards.commands.asking import OK, checked, params_of, print_json, whoever_answers
from dashboards.commands.tables import Column

if TYPE_CHECKING:
    from dashboards.local import Local

PATIENCE_S = 3600.0
LOOK_S = 0.3


def remap(args: Namespace, settings: Settings) -> int:
    """Show or do a remap, take one back, or list them."""
    with whoever_answers(settings) as source:
        if args.list:
            reply = checked(source.get("/api/v1/remaps"))
        elif args.undo is not None:
            reply = checked(source.post(f"/api/v1/remaps/{args.undo}/undo", {}, PATIENCE_S))
        else:
            asked = params_of(args, "from", "to") | {"dry_run": args.dry_run}
            reply = checked(_watched(source, asked, quiet=args.json))
    if args.json:
        print_json(reply)
    elif args.list:
        _print_list(reply.json())
    else:
        _print_changes(reply.json())
    return OK


def _watched(source: "Remote | Local", asked: dict[str, Any], *, quiet: bool) -> Reply:
    """The answer, with a bar until it is there."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = tables.console()
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar, ThreadPoolExecutor(1) as pool:
        task = bar.add_task("reading stored spans again", total=None)
        answer = pool.submit(source.post, "/api/v1/remaps", asked, PATIENCE_S)
        while not wait((answer,), LOOK_S).done:
            if not hidden:
                headway = checked(source.get("/api/v1/remaps/progress")).json()
                bar.update(task, completed=headway["done"], total=headway["of"] or None)
    return answer.result()


def _print_list(answer: dict[str, Any]) -> None:
    columns: list[Column] = [
        *((name, "right", _text(name)) for name in ("remap", "undoes")),
        ("at", "left", lambda r: format.utc(r["at"])),
        ("by", "left", tables.text("actor")),
        ("tables", "left", tables.text("tables_version")),
        ("spans", "right", tables.count("spans")),
        ("changed", "right", tables.count("changed_spans")),
    ]
    tables.print_table(columns, answer["items"])


def _print_changes(answer: dict[str, Any]) -> None:
    columns: list[Column] = [
        ("dialect", "left", tables.text("dialect")),
        ("field", "left", tables.text("field")),
        ("spans", "right", tables.count("spans")),
        ("before", "left", _text("old")),
        ("after", "left", _text("new")),
    ]
    if answer["items"]:
        tables.print_table(columns, answer["items"])
    if answer["omitted"]:
        tables.say(f"{format.count(answer['omitted'])} more differences, of fewer spans each.", "dim")
    done = f"Remap {answer['remap']}: " if answer["remap"] else "Nothing was changed. It would be: "
    spans = f"{format.count(answer['changed_spans'])} of {format.count(answer['spans'])} spans"
    tables.say(f"{done}{spans}, by the dialect tables {answer['tables_version']}.")
    if answer["bare_spans"]:
        why = "of a kind that no table knows keep nothing to go by: whatever their attributes said was dropped"
        tables.say(f"{format.count(answer['bare_spans'])} spans {why}.", "yellow")


def _text(name: str) -> Any:
    return lambda row: format.NONE if row[name] is None else format.inert(str(row[name]))
