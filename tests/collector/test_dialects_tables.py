"""Dialect tables: what a user may write, and what a wrong table says."""

from pathlib import Path

import pytest

from collector.dialects.table_files import TableError
from collector.dialects.tables import BASE, BUILT_IN, load_tables
from tests.collector.spans import described

DOCS = Path(__file__).parents[2] / "docs" / "dialects.md"

ACME = """
dialect = "acme"
rank = 5
extends = ["genai"]

[recognise]
attributes = ["acme.step"]

[[kind]]
from = "acme.step"
is = { think = "llm.call", "do *" = "tool.call" }

[fields]
model = ["acme.brain"]
input_tokens = ["acme.usage#in"]
output_tokens = ["acme.usage#out"]
args = ["acme.payload when tool.call"]

[values.provider]
inhouse = "acme-cloud"

[names]
tool = ["tool *"]

[constants]
provider = "inhouse"

[usage]
input = "exclusive"
"""


def test_a_users_table_adds_a_dialect(tmp_path: Path) -> None:
    """A file of the user's own is enough for spans of an emitter that nobody here knows."""
    (tmp_path / "acme.toml").write_text(ACME)
    think, do = described(
        {"name": "x", "acme.step": "THINK", "acme.brain": "b1", "acme.usage": '{"in": 3, "out": 4}'},
        {"name": "tool fetch", "acme.step": "do it", "acme.payload": "{}"},
        tables=load_tables(tmp_path),
    )
    assert (think["dialect"], think["kind"], think["model"], think["provider"]) == (
        "acme",
        "llm.call",
        "b1",
        "acme-cloud",
    )
    assert (think["input_tokens"], think["output_tokens"]) == (3, 4)
    assert (do["kind"], do["tool"]) == ("tool.call", "fetch")


def test_a_users_table_replaces_the_built_in_one(tmp_path: Path) -> None:
    """A file of the same dialect takes the place of the built-in table; all others stay."""
    (tmp_path / "mine.toml").write_text(
        'dialect = "mcp"\nrank = 1\n[recognise]\nattributes = ["mcp.x"]\n[[kind]]\nhas = "mcp.x"\nis = "memory.read"\n'
    )
    rows = described({"mcp.x": 1}, {"mcp.method.name": "tools/call"}, tables=load_tables(tmp_path))
    assert [r["kind"] for r in rows] == ["memory.read", "other"]
    assert len(load_tables(tmp_path).dialects) == len(load_tables().dialects)


def test_a_users_table_adds_to_the_built_in_one(tmp_path: Path) -> None:
    """A file that extends its own dialect keeps all of it: rank, recognition and entries, which come after its own."""
    (tmp_path / "mine.toml").write_text(
        'dialect = "genai"\nextends = ["genai"]\n[recognise]\nscopes = ["acme"]\n'
        '[fields]\nmodel = ["acme.model"]\ntenant = ["acme.customer"]\n[values.provider]\ninhouse = "acme-cloud"\n'
    )
    tables = load_tables(tmp_path)
    mine, other = described(
        {"gen_ai.provider.name": "inhouse", "gen_ai.operation.name": "chat", "acme.model": "b1", "acme.customer": "c"},
        {"gen_ai.provider.name": "openai", "gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-5"},
        tables=tables,
    )
    assert (mine["kind"], mine["model"], mine["provider"], mine["named_tenant"]) == (
        "llm.call",
        "b1",
        "acme-cloud",
        "c",
    )
    assert (other["kind"], other["model"], other["dialect"]) == ("llm.call", "gpt-5", "genai")
    assert described({"name": "x"}, scope="acme", tables=tables)[0]["dialect"] == "genai"
    assert [d.rank for d in tables.dialects if d.name == "genai"] == [800]
    assert (tables.own, load_tables().own) == (("genai",), ())


def test_no_rank_puts_a_table_below_the_unrecognised(tmp_path: Path) -> None:
    """`raw` stays the dialect of spans that none recognises, whatever rank a table claims."""
    (tmp_path / "mine.toml").write_text('dialect = "mine"\nrank = 9999999\n[recognise]\nscopes = ["mine"]\n')
    rows = described({"name": "x"}, tables=load_tables(tmp_path))
    assert [r["dialect"] for r in rows] == [BASE]


def test_two_files_of_one_dialect_are_refused(tmp_path: Path) -> None:
    """Neither wins silently."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text('dialect = "mine"\nrank = 1\n')
    with pytest.raises(TableError, match=r"b\.toml.*a\.toml tells of it already"):
        load_tables(tmp_path)


def test_words_and_kept_keys_of_the_user_join_the_built_in_ones(tmp_path: Path) -> None:
    """A file without a dialect adds; the version changes with what is said, not with comments alone."""
    (tmp_path / "more.toml").write_text('kept = ["acme.region"]\n[reasons]\ntimeout = ["took forever"]\n')
    (tmp_path / "example.toml").write_text("# nothing yet\n")
    more, built_in = load_tables(tmp_path), load_tables()
    assert set(more.kept) - set(built_in.kept) == {"acme.region"}
    (timeout,) = (pattern for reason, pattern in more.reasons if reason == "timeout")
    assert timeout.search("it took forever")
    assert timeout.search("deadline exceeded")
    assert more.version != built_in.version
    (tmp_path / "more.toml").unlink()
    assert load_tables(tmp_path).version == built_in.version == load_tables(tmp_path / "none").version


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dialect = ", "bad.toml"),
        ('dialect = "a"', "rank = None"),
        ('dialect = "a"\nrank = 1\n[field]\n', "field = {}: unknown section"),
        ('dialect = "a"\nrank = 1\nextends = ["nobody"]', "extends = 'nobody'"),
        ('dialect = "a"\nrank = 1\n[fields]\nmodle = ["x"]', "fields.modle"),
        ('dialect = "a"\nrank = 1\n[fields]\nmodel = [1]', "fields.model"),
        ('dialect = "a"\nrank = 1\n[fields]\nmodel = ["x when llm"]', "unknown kind"),
        ('dialect = "a"\nrank = 1\n[fields]\nargs = ["x#y"]', "without a path"),
        ('dialect = "a"\nrank = 1\n[recognise]\nscope = ["x"]', "recognise.scope"),
        ('dialect = "a"\nrank = 1\n[[kind]]\nfrom = "x"\nis = { y = "llm" }', "unknown kind"),
        ('dialect = "a"\nrank = 1\n[[kind]]\nfrom = "x"', "kind[0].is"),
        ('dialect = "a"\nrank = 1\n[[kind]]\nis = "other"', "kind[0]"),
        ('dialect = "a"\nrank = 1\n[values]\nmodel = "x"', "values.model"),
        ('dialect = "a"\nrank = 1\n[names]\nmodle = ["*"]', "names.modle"),
        ('dialect = "a"\nrank = 1\n[usage]\ninput = "both"', "usage.input = 'both'"),
        ('dialect = "a"\nrank = 1\n[usage]\nproviders = "x"', "usage.providers = 'x'"),
        ('dialect = "a"\nrank = 1\n[usage]\nin = "inclusive"', "usage.in"),
        ('dialect = "a"\nrank = true', "rank = True"),
        ("dialect = 7\nrank = 1", "dialect = 7"),
        ('dialect = "a"\nrank = 1\nextends = ["a"]', "no built-in dialect"),
        ('dialect = "a"\nrank = 1\nkind = "x"', "[[kind]]"),
        ('dialect = "a"\nrank = 1\nfields = "x"', "[fields]"),
        ('dialect = "a"\nrank = 1\n[constants]\ninput_tokens = "3"', "constants.input_tokens"),
        ('dialect = "a"\nrank = 1\n[constants]\nmodel = 3', "constants.model = 3"),
        ('dialect = "a"\nrank = 1\n[names]\nprovider = ["*"]', "names.provider"),
        ('rank = 1\n[fields]\nmodel = ["x"]', "name the dialect"),
        ('kept = ["gen_ai.input.*"]', "gen_ai.input.messages holds content"),
        ('kept = ["*"]', "holds content"),
        ('[reasons]\nslow = ["x"]', "reasons.slow"),
        ("[reasons]\ntimeout = []", "reasons.timeout"),
    ],
)
def test_a_wrong_table_is_refused_with_file_key_value_and_remedy(tmp_path: Path, text: str, says: str) -> None:
    """Every mistake names the file, the key, the value and what may stand there."""
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(TableError) as error:
        load_tables(tmp_path)
    assert "bad.toml" in str(error.value)
    assert says in str(error.value)


def test_the_documented_example_is_a_table(tmp_path: Path) -> None:
    """What docs/dialects.md shows as the format can be loaded as it stands."""
    (tmp_path / "acme.toml").write_text(DOCS.read_text().split("```toml\n")[1].split("```")[0])
    assert "acme" in load_tables(tmp_path).codes


def test_every_table_is_documented() -> None:
    """docs/dialects.md lists each dialect, and each file is a table of its own."""
    text = DOCS.read_text()
    dialects = load_tables().dialects
    assert [d.name for d in dialects if f"`{d.name}`" not in text] == []
    tables = [f for f in BUILT_IN.glob("*.toml") if f.stem not in ("kept", "reasons")]
    assert len(dialects) == len(tables)
    assert dialects[-1].name == BASE
