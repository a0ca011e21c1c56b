"""Work on request bodies: small ones at once, large ones in a thread, so that the event loop never waits long."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from collector.errors import TooLarge
from collector.otlp.answers import Signal
from collector.otlp.compression import inflate
from collector.otlp.jsonbody import Converted, to_protobuf

INLINE_INFLATED_BYTES = 256 << 10
INLINE_JSON_BYTES = 64 << 10

# Two at a time bound the memory of many large bodies that arrive together.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="bodies")


async def decompress(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """`compression.inflate`. A small body that inflates to much is not trusted: it starts again in a thread."""
    if len(body) <= INLINE_INFLATED_BYTES:
        with suppress(TooLarge):
            return inflate(body, encoding, min(limit_bytes, INLINE_INFLATED_BYTES))
    return await asyncio.get_running_loop().run_in_executor(_threads, inflate, body, encoding, limit_bytes)


async def convert(signal: Signal, body: bytes) -> Converted:
    """`jsonbody.to_protobuf`."""
    if len(body) <= INLINE_JSON_BYTES:
        return to_protobuf(signal, body)
    return await asyncio.get_running_loop().run_in_executor(_threads, to_protobuf, signal, body)
