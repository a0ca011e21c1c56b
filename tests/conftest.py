"""What every test may ask for: the shared captures, and programs that are really started."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.needed import ROOT, SHARED, missing

Program = Callable[[str], Path]

settings.register_profile("here", deadline=None, database=None, print_blob=True)
settings.load_profile("here")


def pytest_sessionstart() -> None:
    """In CI nothing is skipped for want of captures, nor are tests that have one for each of them left out."""
    if os.environ.get("CI") and not (SHARED / "corpora").is_dir():
        pytest.exit(f"{SHARED} is not there: set SPANLEDGER_SHARED", returncode=1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of captures and harnesses beside the checkout."""
    if not SHARED.is_dir():
        missing(f"{SHARED} is not there: set SPANLEDGER_SHARED")
    return SHARED


@pytest.fixture(scope="session")
def program() -> Program:
    """Finds a program that tests start for real, such as `promtool` or `chromium`."""

    def find(name: str) -> Path:
        found = shutil.which(name, path=f"{ROOT / '.deps' / 'bin'}:{os.environ['PATH']}")
        if not found:
            missing(f"{name} is not installed: run tests/peers/install.sh")
        return Path(found)

    return find
