"""Remapping: what was kept is read as if it arrived today, nothing else changes, and all of it can be taken back."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.dialects.engine import TABLES
from collector.dialects.tables import Tables, load_tables
from collector.otlp.answers import Signal
from collector.remap import KEEP_NS, Change, RemapError, preview, remap, undo
from collector.semconv import Flag
from collector.store import Store
from tests.collector.remapping import ACME, EVER, LOG, NOW_NS, SPANS, filled, rows, take_in
from tests.collector.spans import START_NS, request

DETAILS = "SELECT * EXCLUDE (batch, attributes) FROM span_details ORDER BY span_id"


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """The tables of somebody whose framework is called acme."""
    folder = tmp_path / "dialects"
    folder.mkdir()
    (folder / "acme.toml").write_text(ACME)
    return load_tables(folder)


def adding(tmp_path: Path, dialect: str, text: str) -> Tables:
    """The tables with something added to a built-in one."""
    folder = tmp_path / "added"
    folder.mkdir()
    (folder / "mine.toml").write_text(f'dialect = "{dialect}"\nextends = ["{dialect}"]\n{text}')
    return load_tables(folder)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Spans of acme, taken in while nobody knew it."""
    store = filled(tmp_path / "old.duckdb", ("traces", request(*SPANS, scope="acme.agents")))
    yield store
    store.close()


def changed(store: Store, tables: Tables, number: int = 1) -> dict[str, Any]:
    """Span `number` after a remap."""
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    return rows(store, DETAILS)[number - 1]


@pytest.mark.slow
def test_the_same_tables_change_nothing(tmp_path: Path, shared: Path) -> None:
    """Every capture of every emitter, spans and log events, read again with the tables that read it first."""
    signals: tuple[Signal, ...] = ("traces", "logs")
    files = sorted((shared / "corpora").glob("*/*.pb"))
    bodies = [(s, f.read_bytes()) for f in files for s in signals if f".{s}" in f.name]
    store = filled(tmp_path / "all.duckdb", *bodies)
    shown = preview(store, TABLES, *EVER)
    store.close()
    assert shown.spans > 3000
    assert (shown.changed_spans, shown.changes) == (0, [])


def test_what_was_kept_is_read_as_if_it_arrived_today(store: Store, tables: Tables, tmp_path: Path) -> None:
    """Kinds, names, inclusive tokens, cost and flags are those of a store that knew the dialect from the start."""
    fresh = filled(tmp_path / "new.duckdb", ("traces", request(*SPANS, scope="acme.agents")), tables=tables)
    done = remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    assert rows(store, DETAILS) == rows(fresh, DETAILS)
    assert (done.remap, done.spans, done.changed_spans) == (1, 4, 4)
    think = rows(store, DETAILS)[1]
    assert (think["kind"], think["model"], think["provider"]) == ("llm.call", "brain-1", "acme-cloud")
    assert (think["input_tokens"], think["cache_read_tokens"], think["reported_pusd"]) == (30, 20, 25 * 10**10)
    assert rows(store, DETAILS)[0]["flags"] & Flag.AGGREGATE
    fresh.close()


def test_any_span_whose_clues_stay_is_read_as_if_it_arrived_today(tmp_path: Path, tables: Tables) -> None:
    """Spans with any of the attributes, and with odd values of them, become what they are in a store that knew them."""
    chance = random.Random(7)
    odd: dict[str, list[Any]] = {
        "acme.step": ["run", "think", "do", "nothing"],
        "acme.model": ["brain-1", "b/2", "b:3"],
        "acme.provider": ["inhouse", "openai"],
        "acme.tool": ["fetch", "send_mail"],
        "acme.agent": ["shopper"],
        "acme.tokens.in": [0, 1, 10**6, 10**10, -3, 2.5],
        "acme.tokens.out": [0, 7, 10**9 + 1],
        "acme.tokens.cached": [0, 4],
        "acme.cost_usd": [0, 0.1, 1e-9, 5],
        "gen_ai.conversation.id": ["s-1"],
        "code": [0, 1, 2],
        "kind": [1, 2, 3],
        "name": ["think", "gpt 5", "a@example.com"],
    }
    spans = [{k: chance.choice(v) for k, v in odd.items() if chance.random() < 0.6} for _ in range(400)]
    body = request(*spans, scope="acme.agents")
    old, new = (
        filled(tmp_path / "a.duckdb", ("traces", body)),
        filled(tmp_path / "b.duckdb", ("traces", body), tables=tables),
    )
    remap(old, tables, *EVER, actor="test", now_ns=NOW_NS)
    assert rows(old, DETAILS) == rows(new, DETAILS)
    old.close()
    new.close()


def test_a_remap_that_fails_changes_nothing(store: Store, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans, descriptions, audit and the list of traces are as before, and the next attempt works."""
    everything = (LOG, "FROM facets ORDER BY facet", "FROM remaps", "FROM remap_changes", "FROM remapped_traces")
    before = [rows(store, sql) for sql in everything]
    with monkeypatch.context() as broken, pytest.raises(OSError, match="disk full"):

        def full(*_: object, **__: object) -> None:
            raise OSError("disk full")

        broken.setattr("collector.remap._audit", full)
        remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    assert [rows(store, sql) for sql in everything] == before
    assert remap(store, tables, *EVER, actor="test", now_ns=NOW_NS).remap == 1


def test_old_changes_are_forgotten(store: Store, tables: Tables) -> None:
    """After 90 days a remap can no longer be taken back; its audit stays."""
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS + KEEP_NS + 1)
    with pytest.raises(RemapError, match="90 days"):
        undo(store, 1, actor="test", now_ns=NOW_NS)
    assert len(rows(store, "FROM remaps")) == 2


def test_a_preview_writes_nothing_and_tells_what_a_remap_does(store: Store, tables: Tables) -> None:
    """By dialect and field: how many spans, from what to what; and how many spans keep nothing to go by."""
    before = rows(store, LOG), rows(store, "FROM facets ORDER BY facet")
    steps: list[tuple[int, int]] = []
    shown = preview(store, tables, *EVER, lambda done, of: steps.append((done, of)))
    assert (rows(store, LOG), rows(store, "FROM facets ORDER BY facet")) == before
    assert steps == [(0, 4), (4, 4)]
    assert Change("acme", "kind", 1, "other", "llm.call") in shown.changes
    assert Change("acme", "model", 1, None, "brain-1") in shown.changes
    assert Change("acme", "input_tokens", 2, None, 65) in shown.changes
    assert shown.bare_spans == 0
    done = remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    assert (done.changes, shown.remap) == (shown.changes, None)
    assert preview(store, tables, *EVER).changes == []


def test_a_remap_is_taken_back_once(store: Store, tables: Tables) -> None:
    """Its spans are again what they were; what is unknown, done or an undo itself is refused in words."""
    before = rows(store, LOG)
    remap(store, tables, *EVER, actor="alice", now_ns=NOW_NS)
    back = undo(store, 1, actor="bob", now_ns=NOW_NS + 1)
    assert rows(store, LOG) == before
    assert (back.remap, back.changed_spans) == (2, 4)
    assert Change("raw", "kind", 1, "llm.call", "other") in back.changes
    audit = rows(store, "SELECT remap, undoes, actor, tables_version, spans, changed_spans FROM remaps ORDER BY remap")
    version = tables.version
    assert [tuple(r.values()) for r in audit] == [(1, None, "alice", version, 4, 4), (2, 1, "bob", version, 4, 4)]
    for number, says in ((1, "already"), (2, "not a remap"), (3, "not a remap")):
        with pytest.raises(RemapError, match=says):
            undo(store, number, actor="bob", now_ns=NOW_NS)


def test_an_undo_leaves_alone_what_changed_since(store: Store, tables: Tables, tmp_path: Path) -> None:
    """A later remap of the same spans stays."""
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    folder = tmp_path / "better"
    folder.mkdir()
    rule = '[[kind]]\nfrom = "span.name"\nis = { rest = "agent.plan" }\n'
    (folder / "acme.toml").write_text(ACME.replace("[[kind]]", f"{rule}[[kind]]", 1))
    better = load_tables(folder)
    assert remap(store, better, *EVER, actor="test", now_ns=NOW_NS).changed_spans == 1
    assert undo(store, 1, actor="test", now_ns=NOW_NS).changed_spans == 3
    assert [r["kind"] for r in rows(store, DETAILS)] == ["other", "other", "other", "agent.plan"]


def test_a_period_is_half_open(store: Store, tables: Tables) -> None:
    """Spans are chosen by their start."""
    assert preview(store, tables, START_NS, START_NS + 1).changed_spans == 4
    assert preview(store, tables, START_NS + 1, EVER[1]).spans == 0
    assert preview(store, tables, EVER[0], START_NS).spans == 0


def test_changed_traces_are_told_to_those_who_compute_from_spans(store: Store, tables: Tables) -> None:
    """Once for each remap, with a place that grows; a remap that changes nothing tells nothing."""
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    undo(store, 1, actor="test", now_ns=NOW_NS)
    assert [(r["place"], r["remap"]) for r in rows(store, "FROM remapped_traces ORDER BY place")] == [(1, 1), (2, 3)]


def test_a_remapped_span_that_is_sent_again_is_the_same(store: Store, tables: Tables) -> None:
    """It is told as a repetition, not as one with other content, and changes nothing."""
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    before = rows(store, LOG)
    take_in(store, ("traces", request(*SPANS, scope="acme.agents")), tables=tables)
    assert rows(store, LOG) == before
    assert rows(store, "SELECT outcome, items FROM ingest_events") == [{"outcome": "deduplicated", "items": 4}]


def test_ingest_goes_on_beside_a_remap(store: Store, tables: Tables) -> None:
    """New facets of both never share a number: those of a remap are below zero."""
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    more = [{"name": f"more {i}", "acme.step": "think"} for i in range(5)]
    take_in(store, ("traces", request(*more, scope="acme.agents").replace(b"t" * 16, b"u" * 16)), tables=tables)
    undo(store, 1, actor="test", now_ns=NOW_NS)
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    facets = [r["facet"] for r in rows(store, "FROM facets")]
    assert len(facets) == len(set(facets))
    assert min(facets) < 0


def test_a_recognised_span_learns_what_its_table_did_not_know(tmp_path: Path) -> None:
    """A new source of the cached tokens: the input that was told already counts on the basis of the dialect."""
    known = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "inhouse", "gen_ai.request.model": "m-1"}
    usage = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 9, "acme.cached_tokens": 60}
    store = filled(tmp_path / "s.duckdb", ("traces", request(known | usage)))
    better = adding(
        tmp_path,
        "genai",
        '[fields]\ncache_read_tokens = ["acme.cached_tokens"]\n[values.provider]\ninhouse = "acme-cloud"\n',
    )
    span = changed(store, better)
    assert (span["input_tokens"], span["cache_read_tokens"], span["output_tokens"]) == (100, 60, 9)
    assert (span["kind"], span["model"], span["provider"]) == ("llm.call", "m-1", "acme-cloud")
    assert changed(store, better) == span
    store.close()


def test_an_operation_that_no_rule_knew_gets_its_kind(tmp_path: Path) -> None:
    """The usage that was told on such a span stops being an aggregate once it is a model call."""
    attributes = {"gen_ai.provider.name": "p", "gen_ai.operation.name": "ponder"}
    usage = {"llm.usage.prompt_tokens": 7, "llm.usage.completion_tokens": 2}
    store = filled(tmp_path / "s.duckdb", ("traces", request(attributes | usage)))
    (before,) = rows(store, DETAILS)
    assert (before["kind"], bool(before["flags"] & Flag.AGGREGATE)) == ("other", True)
    better = adding(tmp_path, "genai", '[[kind]]\nfrom = "gen_ai.operation.name"\nis = { ponder = "llm.call" }\n')
    span = changed(store, better)
    assert (span["kind"], span["mapping"], span["input_tokens"]) == ("llm.call", "exact", 7)
    assert not span["flags"] & Flag.AGGREGATE
    store.close()


def test_a_kind_that_a_dropped_attribute_told_stays(tmp_path: Path) -> None:
    """Rules after the first one that reads an attribute are not believed, for that one may have decided."""
    told = {"name": "execute_tool x", "gen_ai.provider.name": "p", "gen_ai.operation.name": "handoff"}
    store = filled(tmp_path / "s.duckdb", ("traces", request(told)))
    assert rows(store, DETAILS)[0]["kind"] == "other"
    assert changed(store, adding(tmp_path, "genai", '[fields]\nuser = ["acme.user"]\n'))["kind"] == "other"
    store.close()


def test_an_own_rule_about_names_applies_to_what_is_stored(tmp_path: Path) -> None:
    """Names are kept, so a rule that stands before all attributes decides anew."""
    told = {"name": "handoff to billing", "gen_ai.provider.name": "p", "gen_ai.operation.name": "handoff"}
    store = filled(tmp_path / "s.duckdb", ("traces", request(told)))
    better = adding(tmp_path, "genai", '[[kind]]\nfrom = "span.name"\nis = { "handoff *" = "agent.plan" }\n')
    assert changed(store, better)["kind"] == "agent.plan"
    store.close()


def test_a_dialect_that_no_table_tells_of_any_more_keeps_its_spans(store: Store, tables: Tables) -> None:
    """Without their table they are read no better, so they stay what they are."""
    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    assert preview(store, TABLES, *EVER).changes == []


def test_spans_without_anything_kept_are_counted(tmp_path: Path, tables: Tables) -> None:
    """Whatever they said is gone, and a preview says how many there are."""
    spans = [{"name": f"step {i}", "other.words": "said and gone"} for i in range(3)]
    store = filled(tmp_path / "s.duckdb", ("traces", request(*spans)))
    shown = preview(store, tables, *EVER)
    assert (shown.spans, shown.changed_spans, shown.bare_spans) == (3, 0, 3)
    store.close()
