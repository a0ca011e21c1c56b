"""The benchmark of ingest, as small as it goes: it fails unless count and cost come out exactly."""

import json
import subprocess
import sys

import pytest

from tests.needed import ROOT

pytestmark = pytest.mark.slow


def test_load_of_known_truth() -> None:
    """Load of every scenario over several connections is counted and priced to the last digit."""
    command = [sys.executable, "-m", "bench.ingest", "--spans", "5000", "--per-request", "64", "--connections", "4"]

    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout.splitlines()[-1])

    assert figures["spans_acked"] >= 5000
    assert set(figures["statuses"]) == {"200"}
