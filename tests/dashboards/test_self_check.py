"""The span that proves the whole path."""

import time
from collections.abc import Callable

from tests.dashboards.test_serve import Process, start

__all__ = ["start"]


def test_the_path_is_proved_and_counted_nowhere(start: Callable[..., Process]) -> None:
    """Soon after its start a server has sent itself a span and found it; /readyz says how fast, no count holds it."""
    server = start()
    end = time.monotonic() + 10
    while "self_check" not in (ready := server.get("/readyz")) and time.monotonic() < end:
        time.sleep(0.1)
    found = ready["self_check"]

    assert found["ok"]
    assert 0 < found["ack_s"] < 5
    assert 0 < found["queryable_s"] < 2
    assert server.run("spans", "--count").strip() == "0"
    assert server.get("/api/v1/quality")["total"] == {}
