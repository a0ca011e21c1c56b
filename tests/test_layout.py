"""The shape of the repository: small files with telling names, and nothing of the machine that wrote them."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.needed import ROOT

MAX_LINES = 400
LONGER: dict[str, int] = {}
"""Files that may be longer, each with its size and a reason beside it. Empty is the aim."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "managers", "manager", "base", "core"}

LEAKS = "|".join(
    (
        r"/(home|root|Users|work)/\w",
        "index" + "-url",
        "find" + "-links",
        r"py" + r"pi\.(org|python)",
        "files.python" + "hosted",
        r"registry\.npm",
    )
)


def tracked() -> list[Path]:
    """Files of the repository as git sees them, those about to be added included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


PYTHON = [file for file in tracked() if file.suffix == ".py"]


def test_python_files_are_short() -> None:
    """No Python file is longer than MAX_LINES unless it is listed, and the list holds no file that is not."""
    lines = {str(file): len((ROOT / file).read_text().splitlines()) for file in PYTHON}

    assert {name: count for name, count in lines.items() if count > LONGER.get(name, MAX_LINES)} == {}
    assert [name for name in LONGER if lines.get(name, 0) <= MAX_LINES] == []


def test_names_tell_what_is_inside() -> None:
    """No file or folder is named after having no subject."""
    assert [str(file) for file in PYTHON if VAGUE & {part.removesuffix(".py") for part in file.parts}] == []


def test_nothing_tells_of_the_machine() -> None:
    """No tracked text holds a path of somebody's machine or the address of a package index."""
    leaks = []
    for file in tracked():
        try:
            text = (ROOT / file).read_text()
        except UnicodeDecodeError:
            continue
        leaks += [f"{file}: {match[0]}" for match in re.finditer(LEAKS, text)]

    assert leaks == []


def test_the_map_names_every_module() -> None:
    """The table of rooms in docs/architecture.md names every module in a row of its folder, and none that is gone."""
    table = (ROOT / "docs" / "architecture.md").read_text().split("## Rooms")[1].split("\n## ")[0]
    named: set[tuple[str, str]] = set()
    for row in re.findall(r"^\| `.*", table, re.MULTILINE):
        room = row.split("|")[1]
        folder = re.findall(r"`(\w+(?:/\w+)?)/", room)[0]
        named |= {(folder, name) for name in re.findall(r"`(?:\w+/)*(\w+)(?:\.py)?`", row)}
    packages = ("collector", "analytics", "dashboards")
    modules = {(str(f.parent), f.stem) for f in PYTHON if f.parts[0] in packages and f.stem != "__init__"}
    rooms = {(folder, name) for folder, name in re.findall(r"`(\w+)/(\w+)\.py`", table)}

    assert modules - named == set()
    assert rooms - modules == set()


@pytest.mark.parametrize("package", ["collector", "analytics", "dashboards", "sample_traces"])
def test_importing_a_package_does_nothing(package: str) -> None:
    """A package's `__init__.py` is a docstring, so that importing one of its modules costs that module alone."""
    (only,) = ast.parse((ROOT / package / "__init__.py").read_text()).body

    assert isinstance(only, ast.Expr)
