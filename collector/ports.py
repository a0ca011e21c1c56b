"""Listening sockets, and errors that name the port and the setting."""

import errno
import socket

from collector.errors import ConfigError

BACKLOG = 2048


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket; port 0 picks a free one. `setting` is the name of the setting that holds the port.

    Raises ConfigError if the address cannot be used. No other process can share the port.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as e:
        raise ConfigError(f"host = {host!r} is not an address of this machine ({e.strerror}): change `host`") from e
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as e:
        listener.close()
        raise ConfigError(_explain(host, port, setting, e)) from e
    return listener


def _explain(host: str, port: int, setting: str, error: OSError) -> str:
    remedy = f"set --{setting.replace('_', '-')} or SPANLEDGER_{setting.upper()} (0 picks a free port)"
    if error.errno == errno.EADDRINUSE:
        return f"{setting} = {port} on {host} is in use by another process: stop it, or {remedy}"
    if error.errno == errno.EACCES:
        return f"{setting} = {port} needs privileges that this process lacks: {remedy}"
    return f"cannot listen on {host} with {setting} = {port} ({error.strerror}): change `host`, or {remedy}"
