"""`slo` and `alerts`: error budgets, what burns, planned maintenance, and who was told, from whoever can answer."""

from argparse import Namespace
from typing import Any

from rich.text import Text

from collector.settings import Settings
from dashboards import format
from dashboards.commands import tables
from dashboards.commands.asking import NO, OK, USAGE, CommandError, ask, checked, params_of, print_json, whoever_answers
from dashboards.commands.tables import Column, Row

ALERT_STYLES = {"firing": "red", "pending": "yellow", "resolved": "green"}


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


def alerts(args: Namespace, settings: Settings) -> int:
    """Alerts, firing ones first; or try whether a target takes one."""
    if args.act:
        return _trial(args, settings)
    reply = ask(settings, "/api/v1/alerts", params_of(args, "tenant", "state"))
    if args.json:
        print_json(reply)
        return OK
    rows: list[dict[str, Any]] = reply.json()["items"]
    if not rows:
        tables.say("No alerts. What is worth one, and where they go: docs/alerts.md.")
        return OK
    columns: list[Column] = [
        ("state", "left", lambda row: Text(row["state"], style=ALERT_STYLES[row["state"]])),
        ("alert", "left", tables.text("name")),
        ("severity", "left", tables.text("severity")),
        ("since", "right", lambda row: tables.ago("resolved_at" if row["resolved_at"] else "pending_at")(row)),
        ("what", "wrap", tables.text("summary")),
        ("told", "wrap", _told),
    ]
    tables.print_table(columns, rows)
    return OK


def _trial(args: Namespace, settings: Settings) -> int:
    """Post an alert about nothing to one target."""
    if not args.target:
        raise CommandError("alerts test TARGET: name a target of alerts.toml", USAGE)
    with whoever_answers(settings, current=False) as source:
        reply = checked(source.post("/api/v1/alerts/test", {"target": args.target}))
    outcome = reply.json()
    if args.json:
        print_json(reply)
    elif outcome["delivered"]:
        tables.say(f"{outcome['target']} ({outcome['kind']}, {outcome['url']}) took the alert: {outcome['detail']}")
        tables.say("Whether a person hears of it is up to its routes: look there for an alert named SpanledgerTest.")
    else:
        tables.say(f"{outcome['target']} ({outcome['kind']}, {outcome['url']}) did not: {outcome['detail']}", "red")
    return OK if outcome["delivered"] else NO


def _told(row: Row) -> str:
    """Each target with what became of the latest message to it."""
    latest = {delivery["target"]: delivery for delivery in reversed(row["deliveries"])}
    said = (
        name if delivery["state"] == "delivered" else f"{name} {delivery['state']}: {delivery['detail']}"
        for name, delivery in sorted(latest.items())
    )
    return format.inert("; ".join(said))


def _name(row: Row) -> str:
    return format.inert(" ".join((row["slo"], *(value for value in row["group"].values() if value))))


def _left(row: Row) -> str:
    left = row["budget_left"]
    return "" if left is None else f"{left:.0%}" if left >= 0 else f"spent {1 - left:.1f}x"


def _burn(row: Row) -> str:
    return "" if row["burn"] is None else f"{row['burn']:.1f}x"


def _sentence(window: Row) -> str:
    """A window of maintenance in words."""
    by = f" (by {window['by']})" if window["by"] else ""
    afterwards = f"; declared afterwards, at {window['declared_at']}" if window["afterwards"] else ""
    names = ", ".join(window["slos"])
    return f"Maintenance of {names}, {window['from']} to {window['to']}: {window['reason']}{by}{afterwards}."
