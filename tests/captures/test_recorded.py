"""Real agents, recorded here: every figure is the truth's, or provably nothing that the emitter sent tells it."""

import json
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.captures.agreement import differences, told
from tests.collector.captures import RECORDED, Scenario, scenarios

pytestmark = pytest.mark.slow

SCENARIOS = scenarios(RECORDED)
GAPS: list[dict[str, Any]] = tomllib.loads((RECORDED.parent / "gaps.toml").read_text())["gap"]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the tables say of each scenario."""
    return told(SCENARIOS, tmp_path_factory.mktemp("recorded"))


def gaps(scenario: Scenario) -> list[dict[str, Any]]:
    """The gaps that a scenario has."""
    return [
        gap
        for gap in GAPS
        if any(fnmatchcase(scenario.folder.name, s) for s in gap["sets"])
        and any(fnmatchcase(scenario.name, s) for s in gap.get("scenarios", ["*"]))
    ]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_what_is_said_is_true(scenario: Scenario, said: dict[str, dict[str, Any]]) -> None:
    """Runs and how they ended, agents, calls, models, tokens, cost, tools and loops are as the servers logged them, but
    for what the emitter left out; and what was left out is really missing."""
    wrong = differences(said[str(scenario)], scenario.truth)
    excused = {key for gap in gaps(scenario) for key in gap["wrong"]}
    assert {k: v for k, v in wrong.items() if k not in excused} == {}


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if gaps(s)], ids=str)
def test_what_is_missing_is_in_no_byte(scenario: Scenario) -> None:
    """No signal (no trace) of a scenario has the words that would tell what its emitter leaves out."""
    sent, traced = scenario.every_byte(), b"".join(scenario.bodies())
    for gap in gaps(scenario):
        assert [word for word in gap.get("absent", ()) if word.encode() in sent] == []
        assert [word for word in gap.get("absent_from_traces", ()) if word.encode() in traced] == []


def test_every_gap_is_needed(said: dict[str, dict[str, Any]]) -> None:
    """A gap that no scenario shows any more is struck off the list."""
    wrong = {str(s): differences(said[str(s)], s.truth) for s in SCENARIOS}
    shown = [[s for s in SCENARIOS if gap in gaps(s) and set(gap["wrong"]) & set(wrong[str(s)])] for gap in GAPS]
    assert [gap for gap, scenarios_ in zip(GAPS, shown, strict=True) if not scenarios_] == []


def test_captures_stay_small() -> None:
    """All recorded bodies and manifests together are below 3 MB."""
    assert sum(f.stat().st_size for f in RECORDED.rglob("*") if f.is_file()) < 3_000_000


@pytest.mark.parametrize("manifest", sorted(RECORDED.glob("*/manifest.json")), ids=lambda m: m.parent.name)
def test_manifests_name_exact_versions(manifest: Path) -> None:
    """Each set says which packages sent it, and lists every file that it has."""
    told_of = json.loads(manifest.read_text())
    assert told_of["packages"]
    listed = {e["file"] for s in told_of["scenarios"].values() for e in s["exports"]}
    assert listed == {f.name for f in manifest.parent.glob("*.xz")}
