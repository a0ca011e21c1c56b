"""Known gaps of emitters: told where they concern what arrived, and nowhere else."""

import re

import pytest

from analytics.gaps import known_gaps
from analytics.reports.emitters import CHECKS
from collector.semconv import KINDS
from tests.needed import ROOT


def test_every_gap_is_documented() -> None:
    """docs/dialects.md has one row a known gap, in the words that Data quality shows."""
    page = (ROOT / "docs" / "dialects.md").read_text().partition("## What emitters leave out")[2]
    rows = [f"| {gap.emitter} | {gap.missing} | {gap.consequence} |" for gap in known_gaps()]

    assert re.findall(r"^\| [^|]+ \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)[1:] == rows


def test_gaps_speak_of_kinds_and_counts_that_exist() -> None:
    """A gap names a kind of span, and what refutes it is a count that the emitters' query makes."""
    counted = (ROOT / "analytics" / "queries" / "emitters.sql").read_text()
    gaps = known_gaps()

    assert {gap.kind for gap in gaps} <= set(KINDS)
    assert [gap.refuted_by for gap in gaps if gap.refuted_by and f" AS {gap.refuted_by}" not in counted] == []
    assert len({(gap.emitter, gap.missing) for gap in gaps}) == len(gaps)
    assert {gap.counted_as for gap in gaps if gap.counted_as} <= {check.name for check in CHECKS}


@pytest.mark.parametrize(
    ("scope", "version", "counts", "shows"),
    [
        ("opentelemetry.instrumentation.openai_agents", None, {}, True),
        ("opentelemetry.instrumentation.openai_agents", "0.62.4", {}, False),
        ("opentelemetry.instrumentation.openai_agents", None, {"cache_told": 1}, False),
        ("opentelemetry.instrumentation.openai", None, {}, False),
    ],
    ids=["without a version", "another emitter's version", "refuted by what it sent", "another scope"],
)
def test_a_gap_shows_where_it_holds(scope: str, version: str | None, counts: dict[str, int], shows: bool) -> None:
    """Scope and version must be the emitter's, and what it sent must not show the contrary."""
    (gap,) = (g for g in known_gaps() if g.emitter == "opentelemetry-instrumentation-openai-agents-v2")

    assert gap.shows(scope, version, counts) is shows
