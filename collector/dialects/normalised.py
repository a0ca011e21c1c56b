"""What the engine hands on: spans in the canonical model, still as columns."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from collector.otlp.attributes import Bools, Codes, Ints, Texts
from collector.otlp.columns import SpanColumns
from collector.semconv import TOKENS

# Columns of the dictionary tables after their id. A source starts with the credential's tenant: the writer knows it.
FACET_COLUMNS: tuple[str, ...] = (
    "kind",
    "dialect",
    "mapping",
    "name",
    "span_kind",
    "status",
    "error_type",
    "error_reason",
    "agent",
    "agent_version",
    "model",
    "request_model",
    "provider",
    "service_tier",
    "finish_reason",
    "tool",
    "tool_server",
    "tool_class",
    "tool_action",
    "rule_id",
    "decision",
    "decision_raw",
    "reason_code",
    "planner_model",
    "selector_version",
    "store",
    "dependency",
    "http_status",
)
IDENTITY_COLUMNS: tuple[str, ...] = ("tenant", "user", "session", "run_ref", "client")
SOURCE_COLUMNS: tuple[str, ...] = (
    "ingest_tenant",
    "service",
    "service_version",
    "environment",
    "instance",
    "scope",
    "scope_version",
    "sdk",
    *IDENTITY_COLUMNS,
)

# Numbers of a span, named as the columns of `spans`.
NUMBER_COLUMNS: tuple[str, ...] = (
    *TOKENS,
    "reported_pusd",
    "first_token_ns",
    "retry_count",
    "item_count",
    "selected_count",
    "args_bytes",
    "result_bytes",
)
ID_FIELDS: tuple[str, ...] = ("args_hash", "args_shape", "result_hash", "subject_hash", "response_id", "call_id")
CONTENT_FIELDS: tuple[str, ...] = ("args", "result", "subject")

Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Combos:
    """Distinct descriptions: span i has `rows[codes[i]]`."""

    codes: Codes
    rows: list[Row]


@dataclass(frozen=True)
class Normalised:
    """A batch of n spans in the canonical model.

    facet, identity: rows in the order of FACET_COLUMNS and IDENTITY_COLUMNS; texts are not scrubbed yet.
    source: rows in the order of SOURCE_COLUMNS[1:].
    kind: index into semconv.KINDS.
    numbers: one entry for each of NUMBER_COLUMNS: values, and which of them are known. Token totals are
    inclusive, money is in 10^-12 USD, times are in ns.
    ids, content: one entry for each of ID_FIELDS and CONTENT_FIELDS: the attribute row per span, -1 for none.
    inner_ids: ids that stand inside the JSON of an attribute, as texts per span; only fields that have any.
    messages: attribute rows of model messages that hold tool-call parts (see `message_parts`).
    kept: attribute rows whose key is allow-listed, for the JSON column `attributes`.
    flags: bits of semconv.Flag.
    dropped_keys: keys whose values are neither mapped nor kept, with counts; indexes read as ".N.".
    """

    spans: SpanColumns
    facet: Combos
    identity: Combos
    source: Combos
    kind: npt.NDArray[np.int8]
    numbers: dict[str, tuple[Ints, Bools]]
    ids: dict[str, Codes]
    inner_ids: dict[str, Texts]
    content: dict[str, Codes]
    messages: Codes
    kept: Codes
    flags: Ints
    dropped_keys: Counter[str]
