"""What waits between the transports and the two writing threads: bounded by bytes, handed on in groups."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from collector.errors import Busy

if TYPE_CHECKING:
    import asyncio

    from collector.identity import Credential
    from collector.prepare import Prepared

# One group takes at most this much; more only adds latency and memory. (4 MiB: a tenth slower with wide spans.)
MAX_GROUP_BYTES = 6 << 20
# Gather the next group during a commit only when this much waits: with few requests in flight, overlapping halves
# the groups, and what costs is the group.
OVERLAP_BYTES = 1 << 20
# Senders that were just answered come again at once: wait this long for as many as the last group had.
GATHER_S = 0.008


@dataclass(frozen=True)
class Receipt:
    """The answer to an accepted request: how many items were rejected for good, and what the sender should know.

    Nothing rejected and an empty message is full success; a message alone is a warning.
    """

    rejected: int = 0
    message: str = ""


@dataclass(slots=True)
class Item:
    """One accepted request."""

    signal: Literal["traces", "metrics", "logs"]
    body: bytes
    credential: "Credential"
    done: "asyncio.Future[Receipt]"


class Backlog:
    """Requests on their way: put by the transports, taken in groups by the preparing thread, handed over prepared to
    the committing thread, acknowledged by it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.unacknowledged_bytes = 0
        self._items: deque[Item] = deque()
        self._waiting_bytes = 0
        self._last_group = 1
        self._committing = False
        self._prepared: Prepared | None = None
        self._closed = False
        self._drained = False
        lock = threading.Lock()
        self._arrived = threading.Condition(lock)  # for the preparing thread
        self._handed = threading.Condition(lock)  # for the committing thread

    def put(self, item: Item) -> None:
        """Queue a request. Raises Busy when the bound is reached or the receiver shuts down."""
        size = len(item.body)
        with self._arrived:
            if self._closed:
                raise Busy("the receiver is shutting down", retry_after_s=2)
            if self.unacknowledged_bytes and self.unacknowledged_bytes + size > self.max_bytes:
                raise Busy(
                    f"{self.unacknowledged_bytes >> 20} MiB wait to be written, the limit is {self.max_bytes >> 20} MiB"
                )
            self._items.append(item)
            self._waiting_bytes += size
            self.unacknowledged_bytes += size
            if self._may_gather():
                self._arrived.notify()

    def take(self) -> list[Item]:
        """The next group, when it is time for one; empty once the backlog is closed and drained."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._may_gather() or (self._closed and not self._items))
            if not self._closed:
                self._arrived.wait_for(lambda: self._full() or len(self._items) >= self._last_group, GATHER_S)
            group: list[Item] = []
            size = 0
            while self._items and (not group or size + len(self._items[0].body) <= MAX_GROUP_BYTES):
                group.append(self._items.popleft())
                size += len(group[-1].body)
            self._waiting_bytes -= size
            self._last_group = len(group)
            return group

    def hand_over(self, prepared: "Prepared | None") -> None:
        """Give a prepared group to the committing thread, which has room for one; None: there will be no more."""
        with self._handed:
            self._arrived.wait_for(lambda: self._prepared is None)
            self._prepared = prepared
            self._drained = prepared is None
            self._handed.notify()

    def next(self, timeout_s: float) -> "tuple[Prepared | None, bool]":
        """The next prepared group, None if none came in time; and whether there will be no more.

        Asking for the next one says that the last one is committed.
        """
        with self._handed:
            self._committing = False
            self._arrived.notify()
            self._handed.wait_for(lambda: self._prepared is not None or self._drained, timeout_s)
            prepared, self._prepared = self._prepared, None
            self._committing = prepared is not None
            self._arrived.notify()
            return prepared, self._drained and prepared is None

    def release(self, items: list[Item]) -> None:
        """Requests that are answered no longer count."""
        with self._arrived:
            self.unacknowledged_bytes -= sum(len(item.body) for item in items)

    def close(self) -> None:
        """Take nothing new; what waits is still handed on."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()

    def _may_gather(self) -> bool:
        if not self._items:
            return False
        return self._full() or self._closed or not (self._committing or self._prepared)

    def _full(self) -> bool:
        return self._waiting_bytes >= OVERLAP_BYTES
