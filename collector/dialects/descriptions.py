"""What a span is, decided once per distinct description: status, error reason, words of the canonical model."""

from dataclasses import dataclass
from typing import NamedTuple

import orjson

from collector.dialects.embedded import unquoted
from collector.dialects.normalised import FACET_COLUMNS, Row
from collector.dialects.recognition import EXACT, UNKNOWN
from collector.dialects.tables import BASE, NAMED_KINDS, Basis, Dialect, Tables
from collector.dialects.usage import BASES
from collector.semconv import ERROR_REASONS, FIELDS, KINDS

OWN = "spanledger"  # the product's own dialect: its `status` beats the span status
REMEMBERED = 50_000

# Texts that describe a span, in the order in which the engine hands them over.
TEXT_FIELDS: tuple[str, ...] = (*(f.name for f in FIELDS if f.place == "facet"), "exception_type", "failed")

_SPAN_KINDS = ("internal", "internal", "server", "client", "producer", "consumer")
_STATUS_ERROR = 2
_WORDS: dict[str, tuple[str, ...]] = {
    "decision": ("allow", "deny"),
    "stated_status": ("ok", "error", "denied"),
    "tool_class": ("read", "write", "danger"),
    "tool_action": ("create", "update", "delete"),
}
_LOWER = ("provider", "service_tier")


class Raw(NamedTuple):
    """What is known of a span before anything is decided. reason: index into ERROR_REASONS of its error text, or -1."""

    dialect: int
    kind: int
    sure: int
    span_kind: int
    status_code: int
    reason: int
    name: str


@dataclass(frozen=True)
class Described:
    """A row of FACET_COLUMNS, and the bases of its token counts: input, output, and what to assume of the input.

    Bases are indexes into `usage.BASES`.
    """

    facet: Row
    bases: tuple[int, ...]


class Descriptions:
    """Describes spans with the words of their dialect; remembers what it has described."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._known: dict[tuple[Raw, Row], Described] = {}

    def describe(self, raw: Raw, texts: Row) -> Described:
        """The description of a span of which `raw` and `texts`, one per TEXT_FIELDS, are known."""
        key = (raw, texts)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known = {}
            found = self._known[key] = self._describe(raw, dict(zip(TEXT_FIELDS, texts, strict=True)))
        return found

    def reason(self, text: str) -> int:
        """Index into ERROR_REASONS that the words of an error text tell, -1 for none."""
        for reason, pattern in self._tables.reasons:
            if pattern.search(text):
                return ERROR_REASONS.index(reason)
        return -1

    def _describe(self, raw: Raw, texts: dict[str, str | None]) -> Described:
        dialect, kind = self._tables.dialects[raw.dialect], KINDS[raw.kind]
        stated = dict(texts)
        _fill(texts, dialect, kind, raw.name)
        for name, text in texts.items():
            if text is not None:
                texts[name] = _word(dialect, name, text)
        texts["decision_raw"] = stated["decision_raw"] or stated["decision"]
        if _SPAN_KINDS[raw.span_kind if 0 <= raw.span_kind < 6 else 0] in ("server", "consumer"):
            texts["dependency"] = None
        status = self._status(raw, dialect, kind, texts)
        if status == "error":
            texts["error_type"] = texts["error_type"] or texts["exception_type"]
            texts["error_reason"] = self._error_reason(raw, texts)
        else:
            texts["error_reason"] = None
        row = {
            **texts,
            "kind": kind,
            "dialect": dialect.name,
            "mapping": _mapping(raw, dialect),
            "name": next((word for p, word in dialect.values.get("name", ()) if p.fullmatch(raw.name)), raw.name),
            "span_kind": _SPAN_KINDS[raw.span_kind if 0 <= raw.span_kind < 6 else 0],
            "status": status,
        }
        return Described(tuple(row[c] for c in FACET_COLUMNS), _bases(dialect, texts["provider"], texts["model"]))

    def _status(self, raw: Raw, dialect: Dialect, kind: str, texts: dict[str, str | None]) -> str:
        stated = texts["stated_status"]
        if stated == "denied" or (kind == "policy.check" and texts["decision"] == "deny"):
            return "denied"
        if dialect.name == OWN and stated:
            return stated
        failed = (
            raw.status_code == _STATUS_ERROR or stated == "error" or texts["error_type"] or texts["failed"] == "true"
        )
        ended_badly = kind == "llm.call" and texts["finish_reason"] == "error"
        return "error" if failed or ended_badly else "ok"

    def _error_reason(self, raw: Raw, texts: dict[str, str | None]) -> str:
        if texts["error_reason"] in ERROR_REASONS:
            return str(texts["error_reason"])
        for text in (texts["error_reason"], texts["error_type"], texts["http_status"]):
            if text and (found := self.reason(text)) >= 0:
                return ERROR_REASONS[found]
        return ERROR_REASONS[raw.reason] if raw.reason >= 0 else "other"


def _fill(texts: dict[str, str | None], dialect: Dialect, kind: str, name: str) -> None:
    """Read from the span name, or from the table, what no attribute told; a constant is of model calls, unless its
    field is one that names tell."""
    for field, patterns in dialect.names.items():
        if texts.get(field) is None and kind == NAMED_KINDS.get(field):
            matches = (p.fullmatch(name) for p in patterns)
            texts[field] = next((m.group(1) or None for m in matches if m and m.groups()), None)
    for field, constant in dialect.constants.items():
        if kind == NAMED_KINDS.get(field, "llm.call"):
            texts[field] = texts[field] or constant


def _word(dialect: Dialect, field: str, text: str) -> str | None:
    """A value in the words of the canonical model; None where it has none."""
    text = _joined(text) if text.startswith("[") else unquoted(text)
    if field in _LOWER:
        text = text.lower()
    for pattern, word in dialect.values.get(field, ()):
        if pattern.fullmatch(text):
            text = word
            break
    if field in _WORDS and text not in _WORDS[field]:
        return None
    return text or None


def _joined(text: str) -> str:
    """The distinct texts of a JSON list, such as the finish reasons of several choices."""
    try:
        items = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return ",".join(dict.fromkeys(i for i in items if isinstance(i, str)))


def _mapping(raw: Raw, dialect: Dialect) -> str:
    if raw.sure == EXACT:
        return "exact"
    return "none" if dialect.name == BASE and raw.sure == UNKNOWN else "assumed"


def _bases(dialect: Dialect, provider: str | None, model: str | None) -> tuple[int, ...]:
    guesses = (b for text in (provider, model) if text for p, b in dialect.provider_basis if p.fullmatch(text))
    guess: Basis = next(guesses, "inclusive")
    return tuple(BASES.index(b) for b in (dialect.input_basis, dialect.output_basis, guess))
