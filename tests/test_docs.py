"""The documents are true: settings, links and files that they name exist."""

import re
import shlex
from pathlib import Path

import pytest

from collector.settings import FIELDS, PREFIX
from dashboards.cli import COMMANDS, parser
from dashboards.pages.quality import OUTCOMES
from tests.needed import ROOT
from tests.test_layout import tracked

PAGES = [file for file in tracked() if file.suffix == ".md"]


def _shown(default: object) -> str:
    if isinstance(default, int) and default >= 1 << 20:
        return f"{default >> 20} MiB"
    return str(default) if default not in ("", ()) else ""


def test_every_setting_is_documented() -> None:
    """docs/configuration.md has one row a setting, with its variable, default and meaning as the code states them."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = []
    for name, field in FIELDS.items():
        variable = PREFIX + name.upper() + ("_FILE" if field.metadata["secret"] else "")
        rows.append(
            f"| `{name}` | `{variable}` | {_shown(field.default)} | {field.metadata['help']} |".replace("  ", " ")
        )

    assert [row for row in rows if row not in page] == []
    assert len(re.findall(r"^\| `", page, re.MULTILINE)) == len(rows)


def test_every_command_is_documented() -> None:
    """docs/commands.md has one row a command, with what it does and all its options as the command line has them."""
    page = (ROOT / "docs" / "commands.md").read_text()
    rows = []
    for name, _, about, options in COMMANDS:
        words = [
            str(settings["metavar"]) if not flags[0].startswith("-") and "metavar" in settings else flags[0]
            for flags, settings in options
        ]
        rows.append(f"| `{name}` | {about} | {' '.join(f'`{word}`' for word in words)} |")

    assert [row for row in rows if row not in page] == []


def test_examples_are_commands_that_exist() -> None:
    """Every `spanledger ...` line in an example of the documents is accepted by the command line."""
    examples = [block for page in PAGES for block in re.findall(r"```\w*\n(.*?)```", (ROOT / page).read_text(), re.S)]
    lines = re.findall(r"^ *(?:\.venv/bin/)?spanledger (\w.*)", "\n".join(examples), re.MULTILINE)

    assert lines
    for line in lines:
        parser().parse_args(shlex.split(line.rstrip("& "), comments=True))


def test_every_benchmark_is_documented() -> None:
    """bench/README.md has one row a script."""
    page = (ROOT / "bench" / "README.md").read_text()

    assert [file.name for file in tracked() if file.parts[0] == "bench" and f"| `{file.name}` |" not in page] == [
        "README.md"
    ]


def test_every_outcome_is_documented() -> None:
    """docs/trust.md has one row an outcome of the ledger, in the order of the page Data quality."""
    page = (ROOT / "docs" / "trust.md").read_text()

    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(OUTCOMES)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link and picture of a document names a file of the repository."""
    links = re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text())

    broken = [link for link in links if "://" not in link and not (ROOT / page.parent / link).exists()]
    assert broken == []


def test_documents_end_with_a_line() -> None:
    """Documents end with one line break and hold no trailing blanks."""
    texts = {str(page): (ROOT / page).read_text() for page in PAGES}

    assert [name for name, text in texts.items() if not text.endswith("\n") or text.endswith("\n\n")] == []
    assert [name for name, text in texts.items() if re.search(r"[ \t]$", text, re.MULTILINE)] == []
