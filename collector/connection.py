"""uvicorn's HTTP protocol with the limits it lacks: time and size of a request's head, and half-closed senders."""

import asyncio
from asyncio.events import TimerHandle
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from collector.errors import Refused
from collector.otlp.answers import CONTENT_TYPE, failure

MAX_HEAD_BYTES = 64 << 10
# How long what still comes is read and thrown away after the last word, so that the sender sees it.
LINGER_S = 1.0


class Connection(HttpToolsProtocol):
    """One connection. Whoever drips a head, or never sends one, is cut after `head_timeout_s`."""

    def __init__(self, *args: Any, head_timeout_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout_s = head_timeout_s
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: TimerHandle | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end(431, f"the head of the request is larger than {MAX_HEAD_BYTES} bytes")
            elif self._head_timer is None:
                self._await_head()
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def eof_received(self) -> bool:  # type: ignore[override]
        """A sender may close its side after a whole request and still get the answer."""
        if self._answer_is_due() and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return True
        if self._answer_is_due() or self._head_bytes:
            self._end(400, "the connection ended before the request did")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def _answer_is_due(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        reason = f"the head of the request did not arrive within {self._head_timeout_s:g} s"
        self._head_timer = self.loop.call_later(self._head_timeout_s, self._end, 408, reason)

    def _end(self, status: int, reason: str) -> None:
        """The last word on this connection, where no application runs that could say it."""
        if self._ended or self.transport.is_closing():
            return
        self._ended = True
        if self._answer_is_due() and not self.cycle.more_body:  # pipelined behind a request whose answer goes first
            self.cycle.keep_alive = False
            return
        body = failure(Refused(reason), "proto")
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        content_type = b"content-type: " + CONTENT_TYPE["proto"]
        self.transport.write(head.encode() + content_type + b"\r\n\r\n" + body)
        self.loop.call_later(LINGER_S, self.transport.close)
