"""Plays the scenarios in through the real OpenTelemetry SDK and OTLP exporter, their times shifted to end now.

A scenario (`scenarios/*.yaml`) is a tree of spans. Each span has a name, `set` (its attributes), `takes_ms`, `error`
(status text), `kind`, `service` (the process it runs in, the parent's unless given) and `spans` below it, which
run one after the other; `repeat` plays a span or a group of spans several times. `plays` says how often and when:
each row is one run that ends `minutes_ago`; `$name` in an attribute takes the row's value.
"""

import argparse
import json
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

import yaml
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode

from sample_traces import agent

GAP_MS = 4  # between two spans of one parent
MS = 10**6
LIVE_PAUSE_S = 5.0  # between two runs of the live agent

FOLDER = resources.files("sample_traces")

Node = Mapping[str, Any]  # a part of a scenario as its YAML says it


def expected() -> dict[str, dict[str, Any]]:
    """What every run of each scenario comes to, by scenario name, as `scenarios.toml` lists it."""
    return tomllib.loads(FOLDER.joinpath("scenarios.toml").read_text())


def load(name: str) -> dict[str, Any]:
    """The scenario `name`: its services, plays and spans."""
    scenario: dict[str, Any] = yaml.safe_load(FOLDER.joinpath("scenarios", f"{name}.yaml").read_text())
    return scenario


def unrolled(nodes: Iterable[Node]) -> Iterator[Node]:
    """The spans among `nodes` in order, repeats and groups written out."""
    for node in nodes:
        for _ in range(node.get("repeat", 1)):
            if "name" in node:
                yield node
            else:
                yield from unrolled(node["spans"])


def length_ms(node: Node) -> int:
    """How long a span runs: at least `takes_ms`, at least all that is below it."""
    return max(int(node.get("takes_ms", 0)), total_ms(node.get("spans", ())))


def total_ms(nodes: Iterable[Node]) -> int:
    """How long spans run that run one after the other."""
    return sum(length_ms(node) + GAP_MS for node in unrolled(nodes))


class Player:
    """Exports scenarios, with a tracer provider per service as in real processes. `exporter` makes their exporters."""

    def __init__(self, exporter: Callable[[], SpanExporter]) -> None:
        self._exporter = exporter
        self._providers: dict[str, TracerProvider] = {}

    def tracer(self, service: str, attributes: Node) -> trace.Tracer:
        """The tracer of a service's own provider, resource and exporter."""
        if service not in self._providers:
            provider = TracerProvider(resource=Resource.create({"service.name": service, **attributes}))
            provider.add_span_processor(BatchSpanProcessor(self._exporter(), schedule_delay_millis=500))
            self._providers[service] = provider
        return self._providers[service].get_tracer("sample_traces")

    def play(self, scenario: Node, now_ns: int) -> int:
        """Export every run of a scenario; returns how many runs that is."""
        tracers = {service: self.tracer(service, attributes) for service, attributes in scenario["services"].items()}
        for row in scenario["plays"]:
            start_ns = now_ns - (row["minutes_ago"] * 60_000 + total_ms(scenario["spans"])) * MS
            _emit(scenario["spans"], tracers, next(iter(tracers)), None, start_ns, row)
        return len(scenario["plays"])

    def close(self) -> None:
        """Send what is still waiting and stop the exporters."""
        for provider in self._providers.values():
            provider.shutdown()


def _emit(
    nodes: Iterable[Node],
    tracers: Mapping[str, trace.Tracer],
    service: str,
    parent: SpanContext | None,
    start_ns: int,
    row: Node,
) -> None:
    """Start and end spans that run one after the other from `start_ns`, with all that is below them."""
    for node in unrolled(nodes):
        home = node.get("service", service)
        span = tracers[home].start_span(
            node["name"],
            _below(parent, remote=home != service),
            SpanKind[node.get("kind", "internal").upper()],
            {key: _value(value, row) for key, value in node.get("set", {}).items()},
            start_time=start_ns,
        )
        _emit(node.get("spans", ()), tracers, home, span.get_span_context(), start_ns + MS, row)
        if "error" in node:
            span.set_status(Status(StatusCode.ERROR, node["error"]))
        end_ns = start_ns + length_ms(node) * MS
        span.end(end_ns)
        start_ns = end_ns + GAP_MS * MS


def _below(parent: SpanContext | None, *, remote: bool) -> Context:
    """The context of a span below `parent`, which may have come from another process."""
    if parent is None:
        return Context()
    seen = SpanContext(parent.trace_id, parent.span_id, remote, parent.trace_flags)
    return trace.set_span_in_context(NonRecordingSpan(seen), Context())


def _value(value: Any, row: Node) -> Any:
    """`$name` is looked up in the play's row; structures travel as JSON text, lists of text as they are."""
    if isinstance(value, str) and value.startswith("$"):
        return row[value[1:]]
    if isinstance(value, dict):
        return json.dumps({key: _value(item, row) for key, item in value.items()})
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return json.dumps(value)
    return value


def play(
    url: str,
    names: Iterable[str] = (),
    *,
    headers: dict[str, str] | None = None,
    live_until: threading.Event | None = None,
) -> int:
    """Export the named scenarios (all by default) to the OTLP/HTTP address `url`; returns the number of runs.

    With `live_until` the example agent then works on, one run every few seconds, until the event is set.
    """
    player = Player(lambda: OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces", headers=headers))
    now_ns = time.time_ns()
    try:
        runs = sum(player.play(load(name), now_ns) for name in (tuple(names) or expected()))
        while live_until and not live_until.wait(LIVE_PAUSE_S):
            agent.run(player.tracer(agent.SERVICE, agent.RESOURCE), agent.GOALS[runs % len(agent.GOALS)])
            runs += 1
    finally:
        player.close()
    return runs


def main() -> None:
    """Command line: `python -m sample_traces.play`."""
    parser = argparse.ArgumentParser(prog="python -m sample_traces.play", description="play the sample traces in")
    parser.add_argument("--url", default="http://127.0.0.1:4318", help="OTLP/HTTP address (default: %(default)s)")
    parser.add_argument("--scenario", action="append", choices=list(expected()), help="only this one; may be repeated")
    parser.add_argument("--live", action="store_true", help="then keep one example agent at work until interrupted")
    asked = parser.parse_args()
    try:
        play(asked.url, asked.scenario or (), live_until=threading.Event() if asked.live else None)
    except KeyboardInterrupt:
        parser.exit(130)


if __name__ == "__main__":
    main()
