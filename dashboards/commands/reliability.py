"""`slo`: error budgets, what burns, and planned maintenance, from whoever can answer."""

from argparse import Namespace
from typing import Any

from collector.settings import Settings
from dashboards import format
from dashboards.commands import tables
from dashboards.commands.asking import OK, ask, params_of, print_json
from dashboards.commands.tables import Column, Row


def slo(args: Namespace, settings: Settings) -> int:
    """Objectives, worst first."""
    reply = ask(settings, "/api/v1/slos", params_of(args, "tenant"))
    if args.json:
        print_json(reply)
        return OK
    answer = reply.json()
    rows: list[dict[str, Any]] = answer["items"]
    if not rows:
        tables.say("No objectives: put an OpenSLO file into slos/ of the data folder (docs/slo.md).")
        return OK
    columns: list[Column] = [
        ("objective", "left", _name),
        ("status", "left", tables.text("status")),
        ("target", "right", lambda row: format.percent(row["objective"])),
        ("period", "left", tables.text("period")),
        ("bad of all", "right", lambda row: f"{format.count(row['bad'])} of {format.count(row['events'])}"),
        ("budget left", "right", lambda row: _left(row)),
        ("burn", "right", lambda row: _burn(row)),
        ("outlook", "wrap", tables.text("outlook")),
    ]
    if any(row["with_maintenance"]["events"] != row["events"] for row in rows):
        columns[7:7] = [
            ("with maintenance", "right", lambda row: _left(row["with_maintenance"])),
            ("burn with it", "right", lambda row: _burn(row["with_maintenance"])),
        ]
    tables.print_table(columns, rows)
    for window in answer["maintenance"]:
        tables.say(_sentence(window))
    return OK


def _name(row: Row) -> str:
    return format.inert(" ".join((row["slo"], *(value for value in row["group"].values() if value))))


def _left(row: Row) -> str:
    return "" if row["budget_left"] is None else f"{row['budget_left']:.0%}"


def _burn(row: Row) -> str:
    return "" if row["burn"] is None else f"{row['burn']:.1f}x"


def _sentence(window: Row) -> str:
    """A window of maintenance in words."""
    by = f" (by {window['by']})" if window["by"] else ""
    afterwards = f"; declared afterwards, at {window['declared_at']}" if window["afterwards"] else ""
    names = ", ".join(window["slos"])
    return f"Maintenance of {names}, {window['from']} to {window['to']}: {window['reason']}{by}{afterwards}."
