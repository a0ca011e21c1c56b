"""Sends a file of OTLP requests over HTTP and measures what is acknowledged.

    python -m bench.load --url http://127.0.0.1:4318 load-512.otlp --connections 64

Closed loop: each connection sends its next request when the last one is answered. With --rate the requests are due
at a fixed pace instead, and a latency counts from the time its request was due. 429 and 503 are sent again after the
time that the server asks for. Prints one line of JSON.
"""

import argparse
import asyncio
import json
import mmap
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

RETRY = {429, 502, 503, 504}


def bodies(path: Path) -> Iterator[tuple[int, memoryview]]:
    """Number of spans and body of each request in the file."""
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        at = len(file.readline())
    while at < len(content):
        spans, size = struct.unpack_from("<II", content, at)
        yield spans, content[at + 8 : at + 8 + size]
        at += 8 + size


@dataclass
class Tally:
    """What was sent and how it was answered."""

    spans_acked: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)

    def report(self, seconds: float) -> dict[str, object]:
        """The figures, for a load that took so long."""
        ordered = sorted(self.latencies_ms)
        return {
            "spans_acked": self.spans_acked,
            "seconds": round(seconds, 2),
            "spans_per_s": round(self.spans_acked / seconds),
            "ack_p50_ms": round(ordered[len(ordered) // 2], 1),
            "ack_p99_ms": round(ordered[len(ordered) * 99 // 100], 1),
            "statuses": dict(self.statuses),
        }


async def post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, body: memoryview
) -> tuple[int, float]:
    """One request on an open connection: its status, and the seconds to wait before another try."""
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body))
    writer.write(body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in answer[1:])}
    await reader.readexactly(int(headers.get("content-length", 0)))
    return int(answer[0].split()[1]), float(headers.get("retry-after", 1))


async def connection(url: str, due: Iterator[tuple[float, int, memoryview]], headers: list[str], tally: Tally) -> None:
    """Send what `due` yields (when, spans, body), one request after the other."""
    address = urlsplit(url)
    lines = [f"POST {address.path.rstrip('/')}/v1/traces HTTP/1.1", f"Host: {address.netloc}", *headers]
    head = "\r\n".join([*lines, "Content-Type: application/x-protobuf", ""]).encode()
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    for at, spans, body in due:
        await asyncio.sleep(at - time.monotonic())
        began = at or time.monotonic()
        status, wait_s = await post(reader, writer, head, body)
        while status in RETRY:
            tally.statuses[status] += 1
            await asyncio.sleep(wait_s)
            status, wait_s = await post(reader, writer, head, body)
        tally.latencies_ms.append((time.monotonic() - began) * 1000)
        tally.statuses[status] += 1
        tally.spans_acked += spans if status == 200 else 0
    writer.close()


async def load(url: str, path: Path, connections: int, rate: float, headers: list[str]) -> dict[str, object]:
    """Send the whole file over so many connections, at `rate` spans a second (0: as fast as it is answered)."""
    tally, began = Tally(), time.monotonic()

    def paced() -> Iterator[tuple[float, int, memoryview]]:
        sent = 0
        for spans, body in bodies(path):
            yield (began + sent / rate if rate else 0.0), spans, body
            sent += spans

    due = paced()  # shared: the next request goes to whichever connection is free
    await asyncio.gather(*(connection(url, due, headers, tally) for _ in range(connections)))
    return tally.report(time.monotonic() - began)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="send a file of OTLP requests and measure the answers")
    parser.add_argument("file", type=Path, help="written by generate.py")
    parser.add_argument("--url", default="http://127.0.0.1:4318", help="OTLP/HTTP address (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.0, help="spans a second (default: as fast as it goes)")
    parser.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'")
    asked = parser.parse_args()
    print(json.dumps(asyncio.run(load(asked.url, asked.file, asked.connections, asked.rate, asked.header))))


if __name__ == "__main__":
    main()
