"""Answers as tables for people. Text that an emitter controls is inert: no escape sequence, no markup."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboards import format

PIPE_WIDTH = 160  # where no terminal says how wide it is
STATUS_STYLES = {
    "ok": "green",
    "error": "red",
    "stuck": "red",
    "denied": "yellow",
    "running": "cyan",
    "incomplete": "yellow",
}
QUARANTINED = ("foreign_tenant", "time_absurd", "usage_absurd")
SEVERITY_STYLES = {"high": "red", "medium": "yellow", "low": "dim"}

Row = Mapping[str, Any]
Column = tuple[str, str, Callable[[Row], str | Text]]


def console() -> Console:
    """Where tables go: as wide as the terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=PIPE_WIDTH)


def print_table(columns: Iterable[Column], rows: Iterable[Row]) -> None:
    """Rows under headings. A column: heading, left, right or wrap, and how its cell is made of a row."""
    columns = list(columns)
    headed = any(heading for heading, _, _ in columns)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, show_header=headed)
    makers = []
    for heading, justify, make in columns:
        table.add_column(
            heading, justify="right" if justify == "right" else "left", no_wrap=justify != "wrap", overflow="ellipsis"
        )
        makers.append(make)
    for row in rows:
        table.add_row(*(_cell(make(row)) for make in makers))
    console().print(table)


def say(text: str, style: str = "") -> None:
    """A line of text."""
    console().print(Text(format.inert(text), style=style))


def say_currency(answer: Row) -> None:
    """How current the answer is, where that is not now; and that there is more."""
    lag = answer.get("lag") or {"spans": 0}
    if lag["spans"]:
        say(f"{lag['spans']} spans are stored but not in this yet (behind {lag['seconds']:.1f} s).", "yellow")
    if answer.get("next_cursor"):
        say(f"There is more: --cursor {answer['next_cursor']}", "dim")


def text(key: str) -> Callable[[Row], str]:
    """A cell of the emitter's text."""
    return lambda row: format.inert(row[key])


def count(key: str) -> Callable[[Row], str]:
    """A cell of a whole number."""
    return lambda row: format.count(row[key])


def tokens(row: Row) -> str:
    """Input and output tokens."""
    if row["input_tokens"] is None and row["output_tokens"] is None:
        return ""
    return f"{format.tokens(row['input_tokens'])} / {format.tokens(row['output_tokens'])}"


def usd(key: str) -> Callable[[Row], str]:
    """A cell of money."""
    return lambda row: format.usd(row[key])


def cost(row: Row) -> Text:
    """The cost with its coverage, where that is not full."""
    if not row["llm_calls"] and row["cost_usd"] == "0":
        return Text(format.NONE)  # tools without a price
    share = format.coverage(dict(row))
    if share is None or share == 1 or row["cost_usd"] is None:
        return Text(format.usd(row["cost_usd"]), style="yellow" if row["cost_usd"] is None else "")
    return Text.assemble(format.usd(row["cost_usd"]), (f" ({format.percent(share)} priced)", "yellow"))


def status(row: Row) -> Text:
    """The status in its colour."""
    return Text(format.inert(row["status"]), style=STATUS_STYLES.get(row["status"], ""))


def ago(key: str) -> Callable[[Row], str]:
    """A cell of a time as seen from now."""
    now_ns = time.time_ns()
    return lambda row: format.ago(row[key], now_ns)


def print_waterfall(answer: Row) -> None:
    """The spans of a run, indented, with what each did, took and cost."""
    columns: list[Column] = [
        ("span", "left", _span),
        ("kind", "left", text("kind")),
        ("at", "right", lambda s: format.duration(s["offset_ms"])),
        ("took", "right", lambda s: format.duration(s["duration_ms"])),
        ("tokens in / out", "right", tokens),
        ("cost", "right", lambda s: format.usd(s["cost_usd"]) if s["pricing"] not in (None, "none") else ""),
        ("notes", "left", _notes),
    ]  # fmt: skip
    print_table(columns, answer["items"])
    say_currency(answer)


def _span(span: Row) -> Text:
    style = "" if span["status"] == "ok" else STATUS_STYLES.get(span["status"], "")
    return Text.assemble("  " * span["depth"], (_title(span), style))


def _title(span: Row) -> str:
    name = {"llm.call": "model", "tool.call": "tool", "agent.run": "agent", "policy.check": "rule_id"}.get(span["kind"])
    return format.inert((span[name] if name else None) or span["name"])


def _notes(span: Row) -> str:
    notes = [span["error_reason"], span["decision"], *span["evidence_of"]]
    notes += [f"{call['tool']} (derived)" for call in span["derived_tool_calls"]]
    if span["quarantined"]:
        notes += [flag.replace("_", " ") for flag in span["flags"] if flag in QUARANTINED] + ["not counted"]
    return format.inert(", ".join(note for note in notes if note)) if any(notes) else ""


def _cell(value: str | Text) -> Text:
    return value if isinstance(value, Text) else Text(value)
