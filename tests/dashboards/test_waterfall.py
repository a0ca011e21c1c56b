"""The waterfall of a run."""

from typing import Any, get_type_hints

from analytics.reports.spans import Span
from dashboards.waterfall import waterfall

BLANK: dict[str, Any] = dict.fromkeys(get_type_hints(Span))


def span(span_id: str, depth: int = 0, parent: str | None = None, **values: Any) -> dict[str, Any]:
    """A span as the report gives it."""
    known = {"span_id": span_id, "depth": depth, "parent_span_id": parent, "kind": "other", "name": span_id}
    times = {"offset_ms": 0.0, "duration_ms": 100.0, "quarantined": False, "derived_tool_calls": [], "evidence_of": []}
    return BLANK | known | times | values


def test_bars_have_their_place_in_time() -> None:
    """A bar begins and ends where its span does, in percent of the run."""
    _, child = waterfall([span("a"), span("b", 1, "a", offset_ms=25.0, duration_ms=50.0)])

    assert (child["left"], child["width"]) == (25, 50)


def test_quarantined_spans_do_not_stretch_the_others() -> None:
    """A span with an absurd time is drawn inside, the others keep their scale."""
    root, absurd = waterfall([span("a"), span("b", 1, "a", offset_ms=1e9, duration_ms=1e9, quarantined=True)])

    assert root["width"] == 100
    assert absurd["left"] <= 100
    assert absurd["left"] + absurd["width"] <= 100


def test_sums_of_what_lies_below() -> None:
    """A parent shows cost and tokens of all below, without those that are not known or quarantined."""
    rows = waterfall(
        [
            span("a", kind="agent.run", agent="boss"),
            span("b", 1, "a", kind="agent.run", agent="helper"),
            span("c", 2, "b", cost_usd="0.1", input_tokens=10, output_tokens=1, step=1),
            span("d", 2, "b", cost_usd=None, input_tokens=5, step=2),
            span("e", 1, "a", cost_usd="0.02", input_tokens=1, step=3),
            span("f", 1, "a", cost_usd="9", input_tokens=10**9, quarantined=True),
        ]
    )
    sums = {row["span_id"]: (row["below_usd"], row["below_tokens"], row["children"]) for row in rows}

    assert sums["a"] == ("0.12", 17, 3)
    assert sums["b"] == ("0.1", 16, 2)
    assert sums["c"] == (None, 0, 0)
    assert [row["title"] for row in rows[:2]] == ["boss", "helper"]


def test_a_parent_that_never_came() -> None:
    """Spans whose parent nobody sent stand one deeper under one row for it; spans of other roots do not."""
    rows = waterfall(
        [span("a", 0, "gone"), span("b", 1, "a"), span("c", 0, "gone"), span("d", 0, None), span("e", 0, "lost")]
    )

    assert [(row["span_id"], row["depth"], row["absent"]) for row in rows] == [
        ("gone", 0, True),
        ("a", 1, False),
        ("b", 2, False),
        ("c", 1, False),
        ("d", 0, False),
        ("lost", 0, True),
        ("e", 1, False),
    ]
    assert rows[0]["children"] == 2


def test_calls_read_from_messages() -> None:
    """A derived tool call follows its model call, marked, and its cost counts below it."""
    call = {"tool": "search", "tool_server": None, "status": "ok", "error_reason": None, "cost_usd": "0.5"}
    model, derived = waterfall([span("a", kind="llm.call", model="m", derived_tool_calls=[call])])

    assert (derived["title"], derived["depth"], derived["derived"]) == ("search", 1, True)
    assert model["below_usd"] == "0.5"


def test_deep_runs_and_no_spans() -> None:
    """Ten thousand levels are no trouble, nor is nothing."""
    deep = [span(str(n), n, str(n - 1) if n else None) for n in range(10_000)]

    assert waterfall(deep)[-1]["depth"] == 9_999
    assert waterfall([]) == []
