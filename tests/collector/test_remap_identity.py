"""Identity that was kept as attributes is read when a table names it later, as if the spans arrived today."""

from pathlib import Path

from collector.dialects.tables import Tables, load_tables
from collector.identity import Credential
from collector.remap import preview, remap, undo
from collector.semconv import Flag
from tests.collector.remapping import ACME, EVER, LOG, NOW_NS, filled, rows
from tests.collector.spans import request

CUSTOMERS = (
    {"name": "run", "acme.step": "run", "acme.customer": "globex", "session": "s-1"},
    {"name": "think", "acme.step": "think", "acme.customer": "initech", "acme.who": "bob@example.org"},
    {"name": "rest", "acme.step": "think", "acme.customer": "", "tenant": "hooli"},
)
KEPT = 'kept = ["acme.customer", "acme.who"]\n'


def keeping(tmp_path: Path, name: str, more: str = "") -> Tables:
    """The tables of somebody who keeps two attributes of identity, and perhaps has a dialect that reads them."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "kept.toml").write_text(KEPT)
    if more:
        (folder / "acme.toml").write_text(ACME.replace("[fields]", f"[fields]\n{more}"))
    return load_tables(folder)


def test_identity_is_read_from_what_was_kept(tmp_path: Path) -> None:
    """Tenant and user from kept attributes, scrubbed as at arrival, the rest as it was; told by value; taken back."""
    body = request(*CUSTOMERS, scope="acme.agents")
    old = filled(tmp_path / "old.duckdb", ("traces", body), tables=keeping(tmp_path, "before"))
    tables = keeping(tmp_path, "after", 'tenant = ["acme.customer"]\nuser = ["acme.who"]')
    fresh = filled(tmp_path / "new.duckdb", ("traces", body), tables=tables)
    whose = 'SELECT tenant, "user", session, run_ref, client FROM span_details ORDER BY span_id'
    before = rows(old, LOG)
    done = remap(old, tables, *EVER, actor="test", now_ns=NOW_NS)
    told = {(c.field, c.spans, c.old, c.new) for c in done.changes if c.field in ("tenant", "user")}
    assert told == {
        ("tenant", 1, None, "globex"), ("tenant", 1, None, "initech"), ("user", 1, None, "[email]"),
    }  # fmt: skip
    assert [tuple(r.values())[:3] for r in rows(old, whose)] == [
        ("globex", None, "s-1"), ("initech", "[email]", None), ("hooli", None, None),
    ]  # fmt: skip
    assert rows(old, whose) == rows(fresh, whose)
    assert preview(old, tables, *EVER).changed_spans == 0
    undo(old, 1, actor="test", now_ns=NOW_NS)
    assert rows(old, LOG) == before
    old.close()
    fresh.close()


def test_a_remap_that_names_another_tenant_than_the_credential_s_is_quarantined(tmp_path: Path) -> None:
    """As at arrival: a claim that the key does not cover counts nowhere, one that agrees does, and an undo ends it."""
    acme = Credential("key", "globex", frozenset({"ingest"}))
    body = request(*CUSTOMERS[:2], scope="acme.agents")
    old = filled(tmp_path / "old.duckdb", ("traces", body), tables=keeping(tmp_path, "before"), credential=acme)
    tables = keeping(tmp_path, "after", 'tenant = ["acme.customer"]')
    fresh = filled(tmp_path / "new.duckdb", ("traces", body), tables=tables, credential=acme)
    flags = f"SELECT flags & {int(Flag.FOREIGN_TENANT)} > 0 AS foreign_tenant FROM span_log ORDER BY span_id"
    assert [r["foreign_tenant"] for r in rows(old, flags)] == [False, False]
    remap(old, tables, *EVER, actor="test", now_ns=NOW_NS)
    assert [r["foreign_tenant"] for r in rows(old, flags)] == [False, True]
    assert rows(old, flags) == rows(fresh, flags)
    undo(old, 1, actor="test", now_ns=NOW_NS)
    assert [r["foreign_tenant"] for r in rows(old, flags)] == [False, False]
    old.close()
    fresh.close()
