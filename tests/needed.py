"""What tests need from outside the repository: skipped without it on a desk, a failure in CI."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("SPANLEDGER_SHARED", ROOT.parent / "shared"))
"""The folder of captures and harnesses beside the checkout; SPANLEDGER_SHARED names another."""


def missing(what: str) -> NoReturn:
    """Ends the test: what it needs is not there."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
