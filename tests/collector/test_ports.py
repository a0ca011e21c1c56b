"""A port that cannot be used is an error that says which setting to change."""

import socket

import pytest

from collector.errors import ConfigError
from collector.ports import listen


def test_free_port() -> None:
    """Port 0 picks a free one, on either family."""
    for host in ("127.0.0.1", "localhost", "::1"):
        try:
            with listen(host, 0, "port") as s:
                assert s.getsockname()[1] > 0
        except ConfigError:
            assert host == "::1"  # a machine without IPv6


def test_port_in_use() -> None:
    """A port that someone listens on is named with its setting, flag and variable."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"http_port = {port} on 127.0.0.1 is in use.*--http-port.*SPANLEDGER_HTTP_PORT"
        ):
            listen("127.0.0.1", port, "http_port")


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "host.invalid"])
def test_bad_host(host: str) -> None:
    """An address that is not this machine's is named."""
    with pytest.raises(ConfigError, match=host):
        listen(host, 0, "port")
