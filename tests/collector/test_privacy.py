"""No content on the disk: the proof over every capture, and what is kept instead."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.dialects.engine import normalise
from collector.dialects.message_parts import tool_parts
from collector.identity import Credential
from collector.ingest import Ingest
from collector.otlp.answers import Signal
from collector.otlp.columns import decode
from collector.privacy import Hasher, Protected, protect
from collector.store import Store
from tests.collector.captures import RECORDED
from tests.collector.captures import content as body_of

CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
SIGNALS: tuple[Signal, ...] = ("traces", "logs", "metrics")
OPEN = Credential("open", None, frozenset({"ingest"}))

# Attribute keys that hold content: the redact lists of the dialects, as patterns.
CONTENT_KEYS = re.compile(
    r"gen_ai\.(input\.messages|output\.messages|system_instructions|tool\.definitions|tool\.call\.(arguments|result)"
    r"|retrieval\.(query\.text|documents)|memory\.(query\.text|records)|prompt|completion|evaluation\.explanation"
    r"|headers|task\.(input|output)|serialized\.doc|request\.extra_(body|query))"
    r"|(input|output)\.value|llm\.(input_messages|output_messages|prompts|choices|prompt_template|tools"
    r"|invocation_parameters|function_call|headers)|retrieval\.documents|reranker\.|embedding\.embeddings|tool\.parameters"
    r"|metadata$|traceloop\.(entity\.(input|output)|prompt)|mcp\.(request\.argument|response\.value)"
    r"|ai\.(prompt|response\.(text|object|reasoning|toolCalls|files)|toolCall\.(args|result)|value|embedding|schema"
    r"|request\.headers|documents|result)|pydantic_ai\.all_messages|all_messages|final_result|model_request_parameters"
    r"|tool_(arguments|response|parameters|input)|gcp\.vertex\.agent\.(llm_request|llm_response|tool_call_args"
    r"|tool_response|data)|mlflow\.(spanInputs|spanOutputs|chat\.tools|traceInputs|traceOutputs)"
    r"|langfuse\.(observation|trace)\.(input|output)|^(prompt|response|user_prompt|full_command|file_path|body"
    r"|new_context|system_prompt_preview|user_system_prompt|error|user\.email|arguments|output|input|completion)$"
)
NAME_KEYS = re.compile(r"(^|[._])(id|name|model|version|type|kind|role|system|provider|operation|server|method|path)$")


def strings(value: Any) -> Iterator[str]:
    """Every string inside a JSON-like value; JSON text is opened."""
    if isinstance(value, str):
        yield value
        if value[:1] in "[{":
            try:
                yield from strings(json.loads(value))
            except ValueError:
                return
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("id", "name", "tool_call_id", "call_id", "type", "role", "model", "object", "finish_reason"):
                yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def plain(value: AnyValue) -> Any:
    """The Python value of an AnyValue."""
    match value.WhichOneof("value"):
        case "kvlist_value":
            return {kv.key: plain(kv.value) for kv in value.kvlist_value.values}
        case "array_value":
            return [plain(v) for v in value.array_value.values]
        case kind:
            return getattr(value, kind) if kind else None


def content_of_logs(path: Path) -> tuple[set[str], set[str]]:
    """The same as `content_of`; the bodies of log records are content, an event's name is not."""
    content: set[str] = set()
    allowed: set[str] = set()
    for resource in ExportLogsServiceRequest.FromString(body_of(path)).resource_logs:
        for record in (r for s in resource.scope_logs for r in s.log_records):
            content |= {s for s in strings(plain(record.body)) if len(s) >= 12}
            for a in record.attributes:
                text = a.value.string_value
                if CONTENT_KEYS.search(a.key):
                    content |= {s for s in strings(text) if len(s) >= 12}
                elif text:
                    allowed |= {text, f"claude_code.{text}"}
    return content, allowed


def content_of(path: Path) -> tuple[set[str], set[str]]:
    """Content strings of 12 characters or more in a capture, and the ids and names that may stay."""
    if ".logs" in path.name:
        return content_of_logs(path)
    if ".metrics" in path.name:
        return set(), set()
    content: set[str] = set()
    allowed: set[str] = set()
    for resource in ExportTraceServiceRequest.FromString(body_of(path)).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                allowed.add(span.name)
                pairs = [
                    *span.attributes,
                    *(a for e in span.events for a in e.attributes if CONTENT_KEYS.search(a.key)),
                ]
                for a in pairs:
                    text = a.value.string_value
                    if CONTENT_KEYS.search(a.key):
                        content |= {s for s in strings(text) if len(s) >= 12}
                    elif text:
                        allowed.add(text)
    return content, allowed


def files() -> list[Path]:
    """All captures, shared and recorded, of every signal."""
    found = [*sorted(CORPORA.glob("*/*.pb")), *sorted(RECORDED.glob("*/*.pb.xz"))]
    assert found, "the captures lie beside the checkout"
    return found


@pytest.mark.slow
def test_no_content_reaches_the_disk(tmp_path: Path) -> None:
    """After importing every capture, no content string of 12 characters or more is in any file of the store."""

    async def main() -> None:
        store = Store(tmp_path / "spanledger.duckdb")
        store.migrate("collector")
        ingest = Ingest(store, b"k" * 32)
        ingest.start()
        signals = [next(s for s in SIGNALS if f".{s}" in f.name) for f in files()]
        await asyncio.gather(*(ingest.accept(s, body_of(f), OPEN) for s, f in zip(signals, files(), strict=True)))
        await ingest.stop()
        with store.cursor() as c:  # plain text of every text column: pages on disk are compressed
            tables = [r[0] for r in c.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
            for table in tables:
                text = "\n".join(map(str, c.execute(f"SELECT * FROM {table}").fetchall()))
                (tmp_path / f"{table}.txt").write_text(text)
            query = "SELECT unnest([tool, agent, model, request_model, error_type]) FROM facets"
            query += " UNION SELECT tool FROM message_tool_calls"
            names.update(r[0] for r in c.execute(query).fetchall() if r[0])
        store.close()

    names: set[str] = set()
    asyncio.run(main())
    disk = b"\n".join(p.read_bytes() for p in tmp_path.iterdir())
    leaked = set()
    for path in files():
        content, allowed = content_of(path)
        for text in content - allowed - names:
            if text.encode() in disk and not any(text in name for name in allowed):
                leaked.add((path.parent.name, text[:80]))
    assert not leaked


def protect_one(attributes: dict[str, str], name: str = "tool.call") -> tuple[Protected, dict[str, Any]]:
    """Protect one span of our own dialect; also its single row."""
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = b"t" * 16, b"s" * 8, name
    for key, value in attributes.items():
        span.attributes.add(key=key).value.string_value = value
    batch = normalise(decode([message.SerializeToString()]))
    guarded = protect(batch, tool_parts(batch), Hasher(b"k" * 32))
    return guarded, {k: v[0].as_py() for k, v in guarded.columns.items()}


def row(args: str) -> dict[str, Any]:
    """The protected row of a tool call with these arguments."""
    return protect_one({"tool.name": "search", "tool_args": args})[1]


def test_shape_ignores_order_space_numbers_ids_and_dates() -> None:
    """Arguments that differ in key order, white space, numbers, ids or dates share a shape, but not a hash."""
    a = row('{"q": "refund", "user": "u-17", "day": "2026-01-02", "n": 5}')
    b = row('{"n":6,"q":"refund","day":"2026-03-04","user":"u-99"}')
    c = row('{"n":6,"q":"return","day":"2026-03-04","user":"u-99"}')
    assert a["args_hash"] != b["args_hash"]
    assert a["args_shape"] == b["args_shape"] != c["args_shape"]


def test_paging_keeps_only_differences() -> None:
    """A paging argument is kept relative to the store's secret; steps are exact, its value is not there."""
    first, second, none = row('{"q":"x","page":3}'), row('{"q":"x","page":5}'), row('{"q":"x"}')
    assert second["paging"] - first["paging"] == 2
    assert first["paging"] > 2**59
    assert none["paging"] == -1


def test_emitters_hash_is_keyed_again_and_marked() -> None:
    """A hash that the emitter computed is stored under the store's key, apart from hashes of content."""
    _, sent = protect_one({"tool.name": "s", "tool_args_hash": "abc"})
    guarded, both = protect_one({"tool.name": "s", "tool_args_hash": "abc", "tool_args": "abc"})
    other = Hasher(b"x" * 32).one("emitted", b"abc")
    assert sent["args_hash"] not in (0, other, both["args_hash"])
    assert guarded.flags.tolist() == [0]
    assert protect_one({"tool.name": "s", "tool_args_hash": "abc"})[0].flags.tolist() == [128]


def test_sizes_are_of_the_content() -> None:
    """Byte counts are the encoded length of what was dropped."""
    _, kept = protect_one({"tool.name": "s", "tool_args": "grüße", "tool_result": "x" * 500})
    assert (kept["args_bytes"], kept["result_bytes"]) == (7, 500)


def test_hashes_are_never_zero() -> None:
    """Zero means 'no hash' in the store, so no value hashes to it."""
    hasher = Hasher(b"k" * 32)
    assert np.all(hasher.many("content", [str(i).encode() for i in range(1000)]) > 0)
    assert hasher.many("content", [b"a"]).tolist() == [hasher.one("content", b"a")]
