"""Dialect tables: what a user may write, and what a wrong table says."""

from pathlib import Path

import pytest

from collector.dialects.tables import BASE, BUILT_IN, TableError, load_tables
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
