"""What every test may ask for: the shared captures, and programs that are really started."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent

Program = Callable[[str], Path]

settings.register_profile("here", deadline=None, database=None, print_blob=True)
settings.load_profile("here")


def _missing(what: str) -> None:
    """A peer that is not there: a failure in CI, a skip elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of captures and harnesses beside the checkout; SPANLEDGER_SHARED names another."""
    folder = Path(os.environ.get("SPANLEDGER_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        _missing(f"{folder} is not there: set SPANLEDGER_SHARED")
    return folder


@pytest.fixture(scope="session")
def program() -> Program:
    """Finds a program that tests start for real, such as `promtool` or `chromium`."""

    def find(name: str) -> Path:
        found = shutil.which(name, path=f"{ROOT / '.deps' / 'bin'}:{os.environ['PATH']}")
        if not found:
            _missing(f"{name} is not installed: run tests/peers/install.sh")
        return Path(str(found))

    return find
