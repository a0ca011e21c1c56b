"""What belongs together: parents, runs, inherited identity."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.structure import arrange, inherit, number_runs
from analytics.trees import acyclic, nearest, topmost
from collector.semconv import Flag
from tests.analytics.spans import Span, agent, frame, llm, span, tool

REMOTE = int(Flag.REMOTE_PARENT)


def runs_of(*spans: Span) -> tuple[dict[int, str], pl.DataFrame]:
    """The run id of each span, and the runs."""
    arranged, runs = number_runs(inherit(arrange(frame(*spans))))
    named = arranged.join(runs.select("run", "run_id"), on="run", how="left")
    return dict(named.select("span_id", "run_id").iter_rows()), runs


def who(*spans: Span) -> dict[int, dict[str, str | None]]:
    """What each span inherits."""
    arranged = inherit(arrange(frame(*spans)))
    return {row["span_id"]: row for row in arranged.to_dicts()}


TRACE = f"{1:016x}{1:016x}"


@st.composite
def forests(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Parents without cycles, and which rows are wanted."""
    n = draw(st.integers(1, 40))
    parents = [draw(st.integers(-1, row - 1)) for row in range(n)]
    order = draw(st.permutations(range(n)))
    shuffled = np.full(n, -1)
    for row, parent in enumerate(parents):
        shuffled[order[row]] = order[parent] if parent >= 0 else -1
    return shuffled, np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))


@given(forests())
def test_nearest_and_topmost_equal_walking_up(forest: tuple[np.ndarray, np.ndarray]) -> None:
    """Pointer jumping finds what a walk up the parents finds."""
    parent, wanted = forest
    for row in range(len(parent)):
        up, last = int(parent[row]), row
        found = -1
        while up >= 0:
            last = up
            if found < 0 and wanted[up]:
                found = up
            up = int(parent[up])
        assert nearest(parent, wanted)[row] == found
        assert topmost(parent)[row] == last


@given(st.lists(st.integers(-1, 19), min_size=20, max_size=20))
def test_any_parents_become_a_forest(parents: list[int]) -> None:
    """Cycles and self-parents are cut at their earliest span; every other link stays."""
    before = np.array(parents)
    after = acyclic(before)
    for row in range(20):
        walked, up = 0, int(row)
        while up >= 0:
            up = int(after[up])
            walked += 1
            assert walked <= 20
    for row in np.flatnonzero(before != after).tolist():
        circle, up = [row], int(before[row])
        while up != row:
            circle.append(up)
            up = int(before[up])
        assert row == min(circle)


def test_a_run_is_the_topmost_agent_run_with_all_below() -> None:
    """A trace with one top agent.run is one run, with sub-agents and the spans around it."""
    ids, runs = runs_of(span(1), agent(2, 1), agent(3, 2), llm(4, 3), tool(5, 1))
    assert set(ids.values()) == {TRACE}
    assert runs["run_span"].to_list() == [0]


def test_a_trace_without_agent_runs_is_one_run() -> None:
    """All spans of the trace, parents known or not, are the run."""
    ids, runs = runs_of(span(1), llm(2, 1), llm(3, 77))
    assert set(ids.values()) == {TRACE} and len(runs) == 1


def test_several_tops_are_several_runs() -> None:
    """Their ids are traceid-spanid; what is below no top follows the clock, before the first it is the first's."""
    ids, _ = runs_of(
        span(1, start=0), agent(2, 1, 10), agent(3, 1, 100), llm(4, 3, 101), tool(5, 1, 50), tool(6, 99, 120)
    )
    first, second = f"{TRACE}-{2:016x}", f"{TRACE}-{3:016x}"
    assert ids == {1: first, 2: first, 3: second, 4: second, 5: first, 6: second}


def test_orphans_belong_to_the_only_run() -> None:
    """Spans and agents whose parent has not arrived are part of the one run of their trace."""
    ids, runs = runs_of(agent(1), llm(2, 50), agent(3, 60), llm(4, 3))
    assert set(ids.values()) == {TRACE} and len(runs) == 1


def test_an_orphan_subtree_stays_together() -> None:
    """Below an absent parent all follow the first span, though a run began meanwhile."""
    ids, _ = runs_of(agent(1, start=0), span(3, 70, start=5), agent(2, start=10), llm(4, 3, 12))
    assert ids[4] == ids[3] == f"{TRACE}-{1:016x}"


@pytest.mark.parametrize(
    ("spans", "roots"),
    [
        ([agent(1), llm(2, 1)], [1]),
        ([span(1), llm(2, 1)], [1]),
        ([llm(2, 1)], [None]),
        ([llm(2, 1, flags=REMOTE)], [2]),
        ([agent(2, 1), llm(3, 2)], [2]),
        ([agent(2, 1, flags=REMOTE), agent(3, 2)], [2]),
        ([agent(2, 1), llm(3, 1)], [None]),
        ([agent(2, 1), agent(3, 1)], [None]),
        ([agent(2, 1, flags=REMOTE), agent(3, 1, flags=REMOTE)], [None]),
        ([agent(2, 1, flags=REMOTE), agent(3, 9, flags=REMOTE)], [2, 3]),
        ([agent(2, 1, flags=REMOTE), llm(3, 9)], [None]),
        ([agent(2, 2), llm(3, 2)], [2]),
    ],
)
def test_which_root_has_come(spans: list[Span], roots: list[int | None]) -> None:
    """Agents that wait for one absent parent are one run without root; a lone agent is taken at its word."""
    arranged, runs = number_runs(inherit(arrange(frame(*spans))))
    ids = arranged["span_id"].to_list()
    assert sorted((ids[r] if r >= 0 else None for r in runs["root"]), key=str) == sorted(roots, key=str)


def test_an_absent_parent_names_the_run() -> None:
    """The name does not change when the parent that two agents waited for arrives."""
    other = agent(9, 8, flags=REMOTE, start=500)
    waiting, _ = runs_of(agent(2, 1, flags=REMOTE), agent(3, 1, flags=REMOTE), other)
    arrived, _ = runs_of(agent(1, 7, flags=REMOTE), agent(2, 1), agent(3, 1), other)
    assert waiting[2] == waiting[3] == arrived[2] == f"{TRACE}-{1:016x}"


def test_identity_comes_from_the_nearest_that_knows() -> None:
    """Span, else the nearest agent.run above with a value, else the resource, else the run; tenant else default."""
    told = who(
        agent(1, own_user="root-user", own_tenant="acme"),
        agent(2, 1, name="sub", own_user="sub-user", resource_session="of-resource"),
        llm(3, 2, own_session="own"),
        llm(4, 2, resource_session="of-resource"),
        span(5, 77),
    )
    assert [told[i]["user"] for i in (1, 2, 3, 4, 5)] == ["root-user", "sub-user", "sub-user", "sub-user", "root-user"]
    assert [told[i]["session"] for i in (3, 4)] == ["own", "of-resource"]
    assert {told[i]["tenant"] for i in (1, 2, 3, 4, 5)} == {"acme"}
    assert [told[i]["agent"] for i in (1, 3, 5)] == ["a", "sub", "a"]
    assert who(llm(1))[1]["tenant"] == "default"


def test_the_credential_decides_the_tenant() -> None:
    """What a credential says beats every attribute."""
    assert who(agent(1, ingest_tenant="real", own_tenant="claimed"))[1]["tenant"] == "real"


def test_tenants_with_one_trace_id_do_not_meet() -> None:
    """The same ids sent under two credentials are two runs with keys of their own."""
    sent = [agent(1), llm(2, 1)]
    spans = [s | {"ingest_tenant": t} for s in sent for t in ("acme", "globex")]
    arranged, runs = number_runs(inherit(arrange(frame(*spans))))
    assert len(runs) == 2 and runs["run_span"].n_unique() == 2 and set(runs["run_id"]) == {TRACE}
    assert arranged.group_by("run").agg(pl.col("ingest_tenant").n_unique())["ingest_tenant"].to_list() == [1, 1]


def test_a_run_id_of_the_emitter_joins_traces() -> None:
    """Traces with one run id are one run, named by the earliest; a session never joins."""
    first, second = agent(1, own_run_ref="turn-1"), llm(2, start=5, trace_lo=2, own_run_ref="turn-1")
    ids, runs = runs_of(
        second, first, llm(3, start=9, trace_lo=3, own_session="s"), llm(4, start=9, trace_lo=4, own_session="s")
    )
    assert ids[1] == ids[2] == TRACE and len({ids[3], ids[4]}) == 2
    assert runs.filter(pl.col("run_id") == TRACE)["trace_ids"].item().to_list() == [TRACE, f"{1:016x}{2:016x}"]


def test_quarantined_spans_begin_no_run() -> None:
    """A span of a foreign tenant or an absurd time is in no run's way, and alone it is no run."""
    _, runs = runs_of(
        agent(1), agent(2, flags=int(Flag.FOREIGN_TENANT)), agent(3, flags=int(Flag.TIME_ABSURD), start=-9)
    )
    assert runs["run_id"].to_list() == [TRACE]
    assert len(runs_of(llm(1, flags=int(Flag.FOREIGN_TENANT)))[1]) == 0
