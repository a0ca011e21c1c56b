"""The documents are true: settings, links and files that they name exist."""

import re
from pathlib import Path

import pytest

from collector.settings import FIELDS, PREFIX
from tests.conftest import ROOT
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
