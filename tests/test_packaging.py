"""What is shipped: the wheel is complete, dependencies are all used, all locked, and the version is told."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

from tests.needed import ROOT
from tests.test_layout import PYTHON, tracked

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("collector", "analytics", "dashboards", "sample_traces")
PLUGGED_IN = {"httptools", "plotly", "tzdata"}
"""Dependencies that are used without an import: uvicorn takes the parser by name, pages serve the script as
a file, zoneinfo finds the time zones."""


def _pins(requirements: list[str]) -> dict[str, str]:
    return dict(requirement.split("==", 1) for requirement in requirements)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files in a wheel built from a copy of the repository."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for file in tracked():
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, source / file)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        str(out),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("spanledger-*.whl")
    return zipfile.ZipFile(built).namelist()


@pytest.mark.slow
def test_wheel_holds_every_file_of_the_packages(wheel: list[str]) -> None:
    """Code, SQL, tables, templates, static files and scenarios are in the wheel; tests and benchmarks are not."""
    inside = {name for name in wheel if ".dist-info/" not in name}

    assert inside == {str(file) for file in tracked() if file.parts[0] in PACKAGES}


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", ()), ("requirements-dev.lock", ("dev",))])
def test_locks_pin_every_dependency_with_hashes(lock: str, extras: tuple[str, ...]) -> None:
    """A lock file holds each declared dependency at its declared version, and a hash for whatever it holds."""
    declared = _pins(PROJECT["dependencies"])
    for extra in extras:
        declared |= _pins(PROJECT["optional-dependencies"][extra])
    text = (ROOT / lock).read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]

    assert {name: locked.get(name) for name in declared} == declared
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_dependencies_are_declared_and_used() -> None:
    """The packages import what is declared and declare what they import, nothing more."""
    imported = set()
    for file in PYTHON:
        if file.parts[0] in PACKAGES:
            for node in ast.walk(ast.parse((ROOT / file).read_text())):
                if isinstance(node, ast.Import):
                    imported |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    owners: dict[str, set[str]] = {name: set() for name in imported}
    for distribution in importlib.metadata.distributions():
        for path in distribution.files or ():
            if path.suffix == ".py":
                module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
                if module in owners:
                    owners[module].add(distribution.metadata["Name"].lower().replace("_", "-"))
    used = set().union(*owners.values()) - {"spanledger"}
    declared = set(_pins(PROJECT["dependencies"]))

    assert used - declared == set()
    assert declared - used == PLUGGED_IN


def test_changelog_begins_with_this_version() -> None:
    """The newest entry of the changelog is the version of the distribution."""
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert newest
    assert newest[1] == PROJECT["version"]


def test_the_command_exists() -> None:
    """The entry point of `spanledger` can be imported and called."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="spanledger")

    assert callable(entry.load())
