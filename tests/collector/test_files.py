"""OTLP files of every form, told by their content."""

import gzip
import json
import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.errors import Refused
from collector.otlp.files import requests, signal_of
from collector.otlp.protowire import varint

IDS = random.Random(1)  # the same in every worker: parts of requests are names of tests


def traces(spans: int = 1, resources: int = 1, name: str = "s") -> ExportTraceServiceRequest:
    """A request of that many spans in each of that many resources."""
    request = ExportTraceServiceRequest()
    for _ in range(resources):
        scope = request.resource_spans.add().scope_spans.add()
        for _ in range(spans):
            scope.spans.add(trace_id=IDS.randbytes(16), span_id=IDS.randbytes(8), name=name, start_time_unix_nano=1)
    return request


def as_json(request: ExportTraceServiceRequest) -> dict[str, object]:
    """The same spans in OTLP/JSON."""
    spans = [
        {"traceId": s.trace_id.hex(), "spanId": s.span_id.hex(), "name": s.name, "startTimeUnixNano": "1"}
        for r in request.resource_spans
        for scope in r.scope_spans
        for s in scope.spans
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


Many = list[ExportTraceServiceRequest]
FORMS: dict[str, Callable[[Many], bytes]] = {
    "varint": lambda many: b"".join(varint(len(b)) + b for b in (m.SerializeToString() for m in many)),
    "four bytes": lambda many: b"".join(struct.pack(">I", m.ByteSize()) + m.SerializeToString() for m in many),
    "one message": lambda many: b"".join(m.SerializeToString() for m in many),
    "JSON lines": lambda many: b"\n".join(json.dumps(as_json(m)).encode() for m in many),
    "JSON lines with blanks": lambda many: b"".join(json.dumps(as_json(m)).encode() + b"\r\n\n" for m in many),
}


def span_ids(many: Many) -> list[bytes]:
    """All span ids, in order."""
    return [s.span_id for m in many for r in m.resource_spans for scope in r.scope_spans for s in scope.spans]


def read(path: Path) -> Many:
    """What the file yields, as messages."""
    return [ExportTraceServiceRequest.FromString(r.body) for r in requests(path) if r.signal == "traces"]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_forms(tmp_path: Path, form: str, compressed: bool) -> None:
    """The same spans come out of every form, in their order, gzipped or not."""
    many = [traces(n) for n in (1, 20, 3)]
    data = FORMS[form](many)
    path = tmp_path / "any.name"
    path.write_bytes(gzip.compress(data) if compressed else data)
    assert span_ids(read(path)) == span_ids(many)


@pytest.mark.parametrize("indent", [None, 2])
def test_one_json_document(tmp_path: Path, indent: int | None) -> None:
    """One document, on one line or many, with or without a byte order mark."""
    request = traces(4)
    for mark in ("", "\ufeff"):
        (tmp_path / "f").write_text(mark + json.dumps(as_json(request), indent=indent), encoding="utf-8")
        assert span_ids(read(tmp_path / "f")) == span_ids([request])


def test_empty_file(tmp_path: Path) -> None:
    """An empty file holds nothing, and nothing is wrong with it."""
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "z").write_bytes(gzip.compress(b""))
    assert list(requests(tmp_path / "f")) == list(requests(tmp_path / "z")) == []


def test_signals_of_real_captures(shared: Path) -> None:
    """Every capture is recognised as the signal that it is, by its bytes alone."""
    kinds: dict[str, tuple[Any, str]] = {
        "traces": (ExportTraceServiceRequest, "resource_spans"),
        "metrics": (ExportMetricsServiceRequest, "resource_metrics"),
        "logs": (ExportLogsServiceRequest, "resource_logs"),
    }
    files = sorted((shared / "corpora").glob("*/*.pb"))
    assert files
    for file in files:
        [signal] = [s for s in kinds if f".{s}." in file.name]
        assert signal_of(file.read_bytes()) == signal, file
        kind, field = kinds[signal]
        whole = kind()
        for request in requests(file):
            whole.MergeFromString(request.body)
        assert len(getattr(whole, field)) == len(getattr(kind.FromString(file.read_bytes()), field))


def test_signals_in_json(tmp_path: Path) -> None:
    """Lines of different signals may be mixed; each goes its own way."""
    lines = [
        '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m"}]}]}]}',
        '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":9}]}]}]}',
        '{"resourceSpans":[{}]}',
        "{}",
    ]
    (tmp_path / "f").write_text("\n".join(lines))
    assert [r.signal for r in requests(tmp_path / "f")] == ["metrics", "logs", "traces"]


def test_large_message_is_read_in_parts(tmp_path: Path) -> None:
    """One message of many resources streams in bounded memory, and progress is told in bytes of the file."""
    many = [traces(2, resources=10, name="n" * 100_000) for _ in range(15)]
    (tmp_path / "f").write_bytes(FORMS["one message"](many))
    expected = span_ids(many)
    del many
    tracemalloc.start()
    got, progress = [], [0]
    for request in requests(tmp_path / "f"):
        got += span_ids([ExportTraceServiceRequest.FromString(request.body)])
        progress.append(request.file_bytes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got == expected
    assert progress == sorted(progress)
    assert progress[-1] == (tmp_path / "f").stat().st_size == pytest.approx(30_000_000, rel=0.01)
    assert peak < 8 << 20


GOOD = traces(2).SerializeToString()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD[:-5], "ends 5 bytes before the end"),
        (varint(len(GOOD)) + GOOD + varint(len(GOOD)) + GOOD[:-1], f"byte {1 + len(GOOD) + 1}: the file ends 1 bytes"),
        (struct.pack(">I", 1000) + b"\xff" * 1000, "not an OTLP request"),
        (b"\x02\x00\x00\x00" + b"x" * 100, "larger than 1048576"),
        (b"GIF89a" + bytes(100), "f: the file ends|f, byte"),
        (b"\xff" * 100, "not plausible"),
        (GOOD + b"\x12\x00", "field tag 18"),
        (gzip.compress(GOOD * 100)[:-20], "gzip data is damaged or ends early"),
        (b"\x28\xb5\x2f\xfd" + bytes(10), "decompress the file first"),
        (b'{"resourceSpans":[]}\n{"resourceSpans":[}\n', "byte 21: the body is not valid JSON"),
        (b'{"spans":[]}', "none of resourceSpans"),
        (b'[{"resourceSpans":[]}]', "JSON of type list"),
        (b'{"resourceSpans":5}', "must be a list"),
        (b'{"resourceSpans":[\n' + b" " * (1 << 20) + b"]}", "write one request a line"),
        (b'{"a":"' + b"x" * (1 << 20) + b'"}', "a line is longer"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that cannot be read says which, where and why."""
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(Refused, match=message) as e:
        list(requests(tmp_path / "f", max_request_bytes=1 << 20))
    assert str(tmp_path / "f") in e.value.reason
    assert ", byte " in e.value.reason


def test_requests_before_the_break_are_kept(tmp_path: Path) -> None:
    """What came before the damage is handed on, so that an import can say how far it got."""
    (tmp_path / "f").write_bytes(FORMS["varint"]([traces(), traces()]) + b"\x7f\x0a")
    got = []
    with pytest.raises(Refused):
        for request in requests(tmp_path / "f"):
            got.append(request)
    assert len(got) == 2
