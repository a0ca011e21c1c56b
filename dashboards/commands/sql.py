"""`sql`: questions in SQL, and copies of the store."""

import shutil
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from collector.settings import Settings
from dashboards import format
from dashboards.commands import tables
from dashboards.commands.asking import OK, USAGE, CommandError, checked, print_json, whoever_answers


def sql(args: Namespace, settings: Settings) -> int:
    """Answer one reading statement (from stdin where none is given), or write a copy of the store."""
    if args.snapshot:
        return _snapshot(Path(args.snapshot), settings)
    query = args.query or ("" if sys.stdin.isatty() else sys.stdin.read())
    if not query.strip():
        raise CommandError('give a query, such as spanledger sql "FROM runs LIMIT 5"', USAGE)
    with whoever_answers(settings) as source:
        reply = checked(source.post("/api/v1/sql", {"query": query, "limit": args.limit}))
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()

    def cell(name: str) -> Any:
        return lambda row: "" if row[name] is None else format.inert(row[name])

    tables.print_table([(name, "left", cell(name)) for name in answer["columns"]], answer["items"])
    if answer["truncated"]:
        tables.say(f"Only the first {len(answer['items'])} rows are shown.", "yellow")
    return OK


def _snapshot(path: Path, settings: Settings) -> int:
    if path.exists():
        raise CommandError(f"{path} exists: name a new file", USAGE)
    with whoever_answers(settings) as source:
        made = Path(checked(source.post("/api/v1/snapshots", {})).json()["path"])
    shutil.move(made, path)
    tables.say(f"{path} holds a copy of the store that DuckDB 1.5 and later open.")
    return OK
