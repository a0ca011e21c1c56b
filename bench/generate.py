"""Writes a file of OTLP requests for load tests: the sample scenarios, many times over, with fresh ids and times.

    python -m bench.generate --spans 3000000 --per-request 512 --out load-512.otlp

Because the load is made of the sample scenarios, its truth is known: OUT.truth.json says how many runs, calls and
tokens it holds and what they cost by `sample_traces/prices.toml`. Ids are new in every file.

File format: one line of JSON, then records of <u32 spans><u32 bytes><body>, little endian.
"""

import argparse
import json
import random
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sample_traces import play

HOUR_NS = 3600 * 10**9
SUMMED = ("llm_calls", "llm_errors", "tool_calls", "tool_errors", "input_tokens", "output_tokens")


@dataclass(frozen=True)
class Run:
    """One run of a scenario as it was exported, to be copied: its spans by resource, ended at `end_ns`."""

    scenario: str
    groups: list[ResourceSpans]
    end_ns: int


def template(scenario_name: str) -> Run:
    """One run of a scenario, taken from the real SDK and encoder."""
    memories: list[InMemorySpanExporter] = []  # one a service: each is closed with its provider

    def memory() -> InMemorySpanExporter:
        memories.append(InMemorySpanExporter())
        return memories[-1]

    scenario, now_ns = play.load(scenario_name), time.time_ns()
    scenario["plays"] = [scenario["plays"][0] | {"minutes_ago": 0}]
    player = play.Player(memory)
    player.play(scenario, now_ns)
    player.close()
    spans = [span for exporter in memories for span in exporter.get_finished_spans()]
    return Run(scenario_name, list(encode_spans(spans).resource_spans), now_ns)


def copies(run: Run, shift_ns: int) -> Iterator[tuple[ResourceSpans, Span]]:
    """The spans of one more run: ids mixed with random bits of its own, times shifted."""
    trace_bits, span_bits = random.getrandbits(128), random.getrandbits(64)

    def mixed(id_: bytes, bits: int) -> bytes:
        return (int.from_bytes(id_) ^ bits).to_bytes(len(id_))

    for group in run.groups:
        for original in group.scope_spans[0].spans:
            span = Span()
            span.CopyFrom(original)
            span.trace_id, span.span_id = mixed(original.trace_id, trace_bits), mixed(original.span_id, span_bits)
            if original.parent_span_id:
                span.parent_span_id = mixed(original.parent_span_id, span_bits)
            span.start_time_unix_nano += shift_ns
            span.end_time_unix_nano += shift_ns
            yield group, span


class Requests:
    """Gathers spans into requests of one resource each, `per_request` spans at most, and writes them to a file."""

    def __init__(self, path: Path, per_request: int, header: dict[str, object]) -> None:
        self._file, self._per_request = path.open("wb"), per_request
        self._waiting: dict[bytes, ExportTraceServiceRequest] = {}
        self._file.write(json.dumps(header).encode() + b"\n")

    def add(self, group: ResourceSpans, span: Span) -> None:
        """Add a span; its request is written when it is full."""
        key = group.resource.SerializeToString(deterministic=True)
        if key not in self._waiting:
            request = self._waiting[key] = ExportTraceServiceRequest()
            resource_spans = request.resource_spans.add(resource=group.resource)
            resource_spans.scope_spans.add(scope=group.scope_spans[0].scope)
        spans = self._waiting[key].resource_spans[0].scope_spans[0].spans
        spans.append(span)
        if len(spans) >= self._per_request:
            self._write(key)

    def close(self) -> None:
        """Write what waits, and close the file."""
        for key in list(self._waiting):
            self._write(key)
        self._file.close()

    def _write(self, key: bytes) -> None:
        request = self._waiting.pop(key)
        body = request.SerializeToString()
        self._file.write(struct.pack("<II", len(request.resource_spans[0].scope_spans[0].spans), len(body)) + body)


def truth(runs: Counter[str]) -> dict[str, object]:
    """What so many runs of each scenario add up to."""
    expected = play.expected()
    sums: dict[str, object] = {key: sum(expected[name][key] * n for name, n in runs.items()) for key in SUMMED}
    cost_usd = sum((Decimal(expected[name]["cost_usd"]) * n for name, n in runs.items()), Decimal(0))
    sums["cost_usd"] = f"{cost_usd.normalize():f}"
    sums["findings"] = dict(sum((Counter(expected[name]["findings"] * n) for name, n in runs.items()), Counter()))
    return {"runs": runs.total(), "runs_by_scenario": dict(runs), **sums}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="write a file of OTLP requests with known truth")
    parser.add_argument("--spans", type=int, default=100_000, help="at least so many (default: %(default)s)")
    parser.add_argument("--per-request", type=int, default=512, help="spans in a request (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=1.0, help="how far back runs reach (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()

    header: dict[str, object] = {"encoding": "proto", "gzip": False, "workload": "samples"}
    requests, originals = Requests(asked.out, asked.per_request, header), [template(name) for name in play.expected()]
    runs, written, now_ns = Counter[str](), 0, time.time_ns()
    while written < asked.spans:
        for run in originals:
            end_ns = now_ns - int(asked.hours * HOUR_NS * max(0.0, 1 - written / asked.spans))
            for group, span in copies(run, end_ns - run.end_ns):
                requests.add(group, span)
                written += 1
            runs[run.scenario] += 1
    requests.close()
    told = {**header, "spans": written, **truth(runs)}
    asked.out.with_name(asked.out.name + ".truth.json").write_text(json.dumps(told, indent=1) + "\n")
    print(f"{asked.out}: {written} spans, {runs.total()} runs, {asked.out.stat().st_size / written:.0f} bytes a span")


if __name__ == "__main__":
    main()
