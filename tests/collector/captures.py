"""Captures of real agents, the shared and our own: what a scenario sent, as normalised spans, and the truth."""

import json
import lzma
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector.dialects.engine import FACET_COLUMNS, IDENTITY_COLUMNS, SOURCE_COLUMNS, Normalised, normalise
from collector.otlp.answers import Signal
from collector.otlp.columns import SpanColumns, decode
from collector.otlp.jsonbody import to_protobuf
from tests.needed import ROOT, SHARED

SIGNALS: tuple[Signal, ...] = ("traces", "logs", "metrics")
CODING_AGENTS = ("claude_code", "codex_cli")  # their truth needs logs and metrics too
RECORDED = ROOT / "tests" / "captures" / "recorded"
_ORDER = re.compile(r"\.(\d+)\.(?:pb|json)(?:\.xz)?$")


def content(file: Path) -> bytes:
    """The body of an export request, as protobuf; our own are compressed."""
    body = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
    signal: Signal = next(s for s in SIGNALS if f".{s}." in file.name)
    return to_protobuf(signal, body).body if ".json" in file.suffixes else body


@dataclass(frozen=True)
class Scenario:
    """One scenario of one set of captures. `truth`: what the model server and the tools logged."""

    folder: Path
    name: str
    truth: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.folder.name}-{self.name}"

    def bodies(self) -> list[bytes]:
        """Trace requests in the order of arrival, as protobuf."""
        return [content(f) for f in self.files("traces")]

    def files(self, signal: Signal) -> list[Path]:
        """The files of a signal in the order of arrival."""
        files = [f for f in self.folder.glob(f"{self.name}.{signal}*") if f.name.split(".")[0] == self.name]
        return sorted(files, key=lambda f: int(m[1]) if (m := _ORDER.search(f.name)) else 1)

    def every_byte(self) -> bytes:
        """All signals of the scenario, one after the other."""
        return b"".join(content(f) for f in sorted(self.folder.glob(f"{self.name}.*")))

    def spans(self) -> SpanColumns:
        """What was sent, decoded."""
        return decode(self.bodies())


def scenarios(root: Path = SHARED / "corpora") -> list[Scenario]:
    """Every scenario of every set below `root` that sent traces; none where the captures are not at hand."""
    found = []
    for manifest in sorted(root.glob("*/manifest.json")):
        for name, entry in json.loads(manifest.read_text())["scenarios"].items():
            found.append(Scenario(manifest.parent, name, entry["truth"]))
    return found


def table(normalised: Normalised) -> list[dict[str, Any]]:
    """One dictionary a span: facet, identity (`named_...`) and source columns, known numbers, ids, parent and flags."""
    spans = normalised.spans
    ids = {f: spans.attributes.texts(at) for f, at in normalised.ids.items()}
    rows = []
    for i in range(len(spans)):
        identity = normalised.identity.rows[normalised.identity.codes[i]]
        row: dict[str, Any] = dict(zip(FACET_COLUMNS, normalised.facet.rows[normalised.facet.codes[i]], strict=True))
        row |= {f"named_{c}": v for c, v in zip(IDENTITY_COLUMNS, identity, strict=True)}
        row |= dict(zip(SOURCE_COLUMNS[1:], normalised.source.rows[normalised.source.codes[i]], strict=True))
        row |= {name: int(values[i]) for name, (values, known) in normalised.numbers.items() if known[i]}
        for found in (ids, normalised.inner_ids):
            row |= {f: t.values[t.codes[i]] for f, t in found.items() if t.codes[i] >= 0}
        row |= {"span_id": int(spans.span_id[i]), "parent_id": int(spans.parent_id[i])}
        row |= {"flags": int(normalised.flags[i]), "trace": (int(spans.trace_hi[i]), int(spans.trace_lo[i]))}
        rows.append(row)
    return rows


def leaf_calls(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is left of the model calls when one call was reported by two layers.

    Calls above another call go, and calls whose response another call has too.
    """
    by_id = {(r["trace"], r["span_id"]): r for r in rows}
    covered = set()
    for row in rows:
        above = by_id.get((row["trace"], row["parent_id"])) if row["kind"] == "llm.call" else None
        while above is not None:
            covered.add((above["trace"], above["span_id"]))
            above = by_id.get((above["trace"], above["parent_id"]))
    leaves = [r for r in rows if r["kind"] == "llm.call" and (r["trace"], r["span_id"]) not in covered]
    by_response = {r.get("response_id", r["span_id"]): r for r in leaves}
    return list(by_response.values())


def normalised(scenario: Scenario) -> list[dict[str, Any]]:
    """The spans of a scenario as `table` gives them."""
    return table(normalise(scenario.spans()))
