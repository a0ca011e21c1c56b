"""What log records and spans of a coding agent tell twice counts once, and the agent's machinery is no run."""

from pathlib import Path
from typing import Any

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from analytics.reports.spans import list_spans
from analytics.structure import arrange, inherit, number_runs
from collector.semconv import Flag
from tests.analytics.spans import Span, agent, frame, llm, span, stored, tool
from tests.analytics.test_calls import calls_of
from tests.stores import empty_store, write

CODEX: Span = {"dialect": "codex", "own_session": "talk"}
LOG: Span = CODEX | {"flags": int(Flag.FROM_LOG)}
LOOSE: Span = LOG | {"trace_hi": 9, "trace_lo": 9}  # a trace made of the session alone


def runs_of(*spans: Span) -> list[dict[str, Any]]:
    """The runs of the spans, with the ids of their spans that count as something."""
    arranged, runs = number_runs(inherit(arrange(frame(*spans))))
    found = []
    for run in runs.sort("trace_lo").to_dicts():
        mine = arranged.filter((arranged["run"] == run["run"]) & (arranged["kind"] != "other"))
        found.append({"trace_ids": len(run["trace_ids"]), "spans": sorted(mine["span_id"].to_list())})
    return found


PROTOCOL = ("initialize.mcp", "tools/list.mcp", "ResponseStreamWriter", "RequestStreamReader")


def test_a_prompt_gives_way_to_the_agents_own_spans() -> None:
    """The event that begins a run is nothing beside an agent.run or real work of the agent; else it is the root."""
    prompt = agent(5, None, 1, **LOG)
    assert runs_of(agent(1, **CODEX), prompt) == [{"trace_ids": 1, "spans": [1]}]
    assert runs_of(llm(2, 1, 2, **CODEX), prompt) == [{"trace_ids": 1, "spans": [2]}]
    assert runs_of(span(2, 1, start=2, **CODEX), prompt) == [{"trace_ids": 1, "spans": [5]}]


def test_the_making_of_an_agent_is_no_run() -> None:
    """A trace that only says that an agent was made, that AutoGen passed a message on or MCP shook hands, is none."""
    made = span(9, trace_lo=2, name="create_agent helper")
    passed = span(9, trace_lo=3, name="autogen send", dialect="autogen")
    asked = span(9, trace_lo=4, name="tools/list", dialect="mcp")
    streams = (span(9 + n, trace_lo=5 + n, name=name, dialect="openllmetry") for n, name in enumerate(PROTOCOL))
    assert runs_of(agent(1), made, passed, asked, *streams) == [{"trace_ids": 1, "spans": [1]}]
    assert len(runs_of(agent(1), span(9, trace_lo=2, name="billing.mcp"))) == 2
    assert len(runs_of(agent(1), span(9, trace_lo=2, name="create_order"))) == 2


def test_machinery_alone_is_no_run() -> None:
    """Traces of internal spans make no run, also where they share the run id of a real one; those of others do."""
    shared = {"own_run_ref": "turn"}
    busy = span(7, None, trace_lo=2, **CODEX | shared)
    assert runs_of(span(8, None, trace_lo=3, **CODEX), busy) == []
    assert runs_of(agent(1, **CODEX | shared), busy) == [{"trace_ids": 1, "spans": [1]}]
    assert len(runs_of(span(8, None, trace_lo=3))) == 1


def test_records_of_a_session_follow_its_runs_by_the_clock() -> None:
    """A record that names neither trace nor turn belongs to the latest run of its session that had begun."""
    first, second = agent(1, None, 10, **CODEX), agent(2, None, 100, trace_lo=2, **CODEX)
    stranger = agent(3, None, 15, trace_lo=3, **CODEX | {"own_session": "other"})
    records = [llm(n, None, at, **LOOSE) for n, at in ((11, 20), (12, 99), (13, 100), (14, 5))]
    assert runs_of(first, second, stranger, *records) == [
        {"trace_ids": 2, "spans": [1, 11, 12, 14]},
        {"trace_ids": 2, "spans": [2, 13]},
        {"trace_ids": 1, "spans": [3]},
    ]
    assert runs_of(*records) == [{"trace_ids": 1, "spans": [11, 12, 13, 14]}]


def test_prompts_without_traces_divide_a_session() -> None:
    """By logs alone, each prompt of a session begins a run, and the calls after it are its own."""
    prompts = [agent(n, None, at, **LOOSE) for n, at in ((1, 10), (2, 100))]
    calls = [llm(n, None, at, **LOOSE) for n, at in ((11, 20), (12, 99), (13, 101))]
    found = runs_of(*prompts, *calls)
    assert sorted(r["spans"] for r in found) == [[1, 11, 12], [2, 13]]


def test_the_second_record_repeats_the_second_call() -> None:
    """Calls without a response id pair by their tokens, in order; one record more is one call more."""
    root, nameless = agent(1, **CODEX), CODEX | {"model": None}
    spans = [llm(2, 1, 1, **nameless), llm(3, 1, 3, **nameless)]
    records = [llm(n, None, at, **LOOSE) for n, at in ((12, 2), (13, 4), (14, 6))]
    told = calls_of(root, *spans, *records)
    assert [(c["span_id"], c["model"]) for c in told] == [(2, "gpt-4o"), (3, "gpt-4o"), (14, "gpt-4o")]


def test_one_response_is_one_call() -> None:
    """A record with the response of a span adds what only it knows: the reported cost."""
    record = llm(3, None, 1, response_hash=7, reported_pusd=5, output_tokens=100, **LOG)
    (call,) = calls_of(agent(1), llm(2, 1, response_hash=7), record)
    assert (call["span_id"], call["reported_pusd"]) == (2, 5)
    assert len(calls_of(agent(1), llm(2, 1, response_hash=8), record)) == 2


def test_only_the_record_admits_the_refusal() -> None:
    """The span of a tool call becomes what the record of the same call id says: refused, or failed with its reason."""
    for status, reason in (("denied", None), ("error", "timeout")):
        record = tool(3, None, 1, call_hash=7, status=status, error_reason=reason, **LOG)
        (call,) = calls_of(agent(1), tool(2, 1, call_hash=7), record)
        assert (call["span_id"], call["status"], call["error_reason"]) == (2, status, reason)


def test_a_refusing_check_denies_the_call_around_it() -> None:
    """The last check below a tool call decides; a check of an agent that the tool runs does not."""
    no: Span = {"decision": "deny"}
    yes: Span = {"decision": "allow"}
    assert [c["status"] for c in calls_of(agent(1), tool(2, 1), span(3, 2, "policy.check", **no))] == ["denied"]
    both = (span(3, 2, "policy.check", 1, **no), span(4, 2, "policy.check", 2, **yes))
    assert [c["status"] for c in calls_of(agent(1), tool(2, 1), *both)] == ["ok"]
    inner = (agent(5, 2), span(6, 5, "policy.check", **no))
    assert [c["status"] for c in calls_of(agent(1), tool(2, 1), *inner)] == ["ok"]


def test_a_refusal_of_which_nothing_else_tells_is_a_denied_call() -> None:
    """A record of a refusal stands for the call that was asked for, once; a span of that call takes its place."""
    refusal: Span = {"decision": "deny", "tool": "rm", "call_hash": 7}
    record = span(3, None, "policy.check", 1, **LOG | refusal)
    (call,) = calls_of(agent(1), record)
    assert (call["kind"], call["tool"], call["status"]) == ("tool.call", "rm", "denied")
    assert [c["span_id"] for c in calls_of(agent(1), record, tool(2, 1, call_hash=7))] == [2]
    assert calls_of(agent(1), span(3, 1, "policy.check", **refusal)) == []


def test_coding_agents_name_the_model_around_the_call() -> None:
    """A call without a model has that of the nearest span around it; other dialects' calls stay unnamed."""
    around = span(2, 1, model="gpt-5.5", **CODEX)
    (call,) = calls_of(agent(1, **CODEX), around, llm(3, 2, **CODEX | {"model": None}))
    assert call["model"] == "gpt-5.5"
    (call,) = calls_of(agent(1), span(2, 1, model="gpt-5.5"), llm(3, 2, model=None))
    assert call["model"] is None


def test_a_run_shows_its_own_records_only(tmp_path: Path) -> None:
    """Where the records of a session lie in one trace, each run shows those that are its own, whenever they came."""
    store = empty_store(tmp_path / "talk.duckdb")
    runner = Runner(store, PriceBook.seeded(), lambda: 0)
    runs = [agent(n, None, at, trace_lo=n, **CODEX) for n, at in ((1, 10), (2, 100))]
    records = [llm(n, None, at, **LOOSE) for n, at in ((11, 20), (12, 99), (13, 101))]
    for batch, sent in enumerate((records, runs), start=1):
        rows = stored([s | {"batch": batch} for s in sent])
        for table, column in (("facets", "facet"), ("identities", "identity"), ("sources", "source")):
            for row in (*rows.tables[table], *rows.tables["span_log"]):
                row[column] += 100 * batch
        with store.transaction() as c:
            write(c, rows)
        runner.run_pass(0)
    shown = {}
    for n in (1, 2):
        listed = list_spans(store, f"{1:016x}{n:016x}", 0)
        assert listed is not None
        shown[n] = sorted(int(s["span_id"], 16) for s in listed["items"])
    with store.cursor() as c:
        calls = c.execute("SELECT llm_calls FROM runs ORDER BY trace_lo").fetchall()
    store.close()
    assert shown == {1: [1, 11, 12], 2: [2, 13]}
    assert calls == [(2,), (1,)]
