"""Dialect tables: read from TOML, checked, compiled to look-ups. The format is described in docs/dialects.md."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from collector.dialects.table_files import File, read_folders
from collector.semconv import ERROR_REASONS, FIELDS, KINDS, Kind

Basis = Literal["inclusive", "exclusive", "unknown"]
Reasons = tuple[tuple[str, re.Pattern[str]], ...]

BUILT_IN = Path(__file__).parent / "tables"
BASE = "raw"  # the table that every other one ends with, and the dialect of spans that none recognises
SPAN_NAME = "span.name"

# Fields of the tables beside semconv.FIELDS: other units and helpers that end in a canonical field.
HELPER_FIELDS: dict[str, str] = {
    "first_token_ms": "milliseconds",
    "reported_microusd": "usd",
    "cache_write_5m_tokens": "int",
    "uncached_input_tokens": "int",
    "visible_output_tokens": "int",
    "sampled_share": "float",
    "error_text": "text",
    "exception_type": "text",
    "failed": "text",
}
FIELD_TYPES: dict[str, str] = {f.name: f.type for f in FIELDS} | HELPER_FIELDS
MAPPED_FIELDS: tuple[str, ...] = tuple(FIELD_TYPES)
MAX_SOURCES = 100  # of one field, those of its parents included

# Fields that [names] can read from the name of a span, and the kind of the spans that are so named.
NAMED_KINDS: dict[str, Kind] = {
    "agent": "agent.run",
    "tool": "tool.call",
    "rule_id": "policy.check",
    "model": "llm.call",
}
_CONSTANTS = tuple(f.name for f in FIELDS if f.place == "facet")

_RECOGNISERS = ("attributes", "scopes", "services", "names")


@dataclass(frozen=True)
class Source:
    """Where a value stands: an attribute key (or glob), a path inside its JSON, and the kinds it holds for.

    No kinds: all of them.
    """

    key: str
    path: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """The key as the engine looks it up: `key` or `key#path`."""
        return "#".join((self.key, ".".join(self.path))) if self.path else self.key


@dataclass(frozen=True)
class KindRule:
    """One way to learn a span's kind. `source` None: from the span name.

    present: the kind if the source has any value. same_as_name: the kind if its value is the span name.
    values: (pattern, kind) tried in order against the value, without regard to case.
    """

    source: Source | None
    present: Kind | None = None
    same_as_name: Kind | None = None
    values: tuple[tuple[re.Pattern[str], Kind], ...] = ()


@dataclass(frozen=True)
class Dialect:
    """One compiled table, its parents' entries after its own."""

    name: str
    title: str
    rank: int
    recognise: dict[str, tuple[str, ...]]
    kinds: tuple[KindRule, ...]
    fields: dict[str, tuple[Source, ...]]
    values: dict[str, tuple[tuple[re.Pattern[str], str], ...]]
    names: dict[str, tuple[re.Pattern[str], ...]]
    constants: dict[str, str]
    redacted: frozenset[str]
    input_basis: Basis
    output_basis: Basis
    provider_basis: tuple[tuple[re.Pattern[str], Basis], ...]


@dataclass(frozen=True, eq=False)
class Tables:
    """All dialects, the most specific first; a dialect's code is its place in the list.

    kept: keys and globs of attributes whose values stay. clue_tokens, clue_numbers, clue_names: those of
    attributes whose values may stay for a better mapping (see `clues`). reasons: (error reason, words that tell it),
    in order. version: changes with every change of any table. own: the dialects that files of the user's tell of.
    """

    dialects: tuple[Dialect, ...]
    kept: tuple[str, ...]
    clue_tokens: tuple[str, ...] = ()
    clue_numbers: tuple[str, ...] = ()
    clue_names: tuple[str, ...] = ()
    reasons: Reasons = ()
    version: str = ""
    own: tuple[str, ...] = ()

    @cached_property
    def codes(self) -> dict[str, int]:
        """Dialect name to code."""
        return {d.name: i for i, d in enumerate(self.dialects)}


def load_tables(extra: Path | None = None) -> Tables:
    """The built-in tables plus those in the folder `extra`, which need not exist.

    A file there replaces the built-in one of the same dialect, or adds to it if it extends the dialect itself.
    Raises TableError for a file that cannot be read or says something impossible.
    """
    folders = (BUILT_IN, extra) if extra else (BUILT_IN,)
    files, shared, version = read_folders(folders)
    dialects = sorted((_compile(name, files) for name in files), key=lambda d: (d.name == BASE, d.rank, d.name))
    return Tables(
        dialects=tuple(dialects),
        kept=tuple(key for file in shared for key in _kept(file, dialects)),
        clue_tokens=_clues(shared, "tokens"),
        clue_numbers=_clues(shared, "numbers"),
        clue_names=_clues(shared, "names"),
        reasons=_reasons(shared),
        version=version,
        own=tuple(name for name, file in files.items() if file.path.parent == extra),
    )


def _kept(file: File, dialects: Iterable[Dialect]) -> list[str]:
    """The attribute keys that a file lets stay. None may reach what some dialect reads as content."""
    keys = file.texts("kept", file.data.get("kept", []))
    content = {s.key for d in dialects for f, ss in d.fields.items() if FIELD_TYPES[f] == "content" for s in ss}
    for key in keys:
        if found := next((c for c in sorted(content) if key == c or ("*" in key and glob(key).fullmatch(c))), None):
            file.fail("kept", key, f"{found} holds content, which is never kept: name the keys that you mean")
    return keys


def _clues(files: list[File], section: str) -> tuple[str, ...]:
    return tuple(p for f in files for p in f.texts(f"clues.{section}", f.table("clues").get(section, [])))


def _reasons(files: list[File]) -> Reasons:
    """The words that tell an error reason, of all files together."""
    told: dict[str, list[str]] = {}
    for file in files:
        for reason, words in file.table("reasons").items():
            if reason not in ERROR_REASONS:
                file.fail(f"reasons.{reason}", words, f"unknown reason; use one of {', '.join(ERROR_REASONS)}")
            texts = file.texts(f"reasons.{reason}", words)
            if not all(texts) or not texts:
                file.fail(f"reasons.{reason}", words, "give words that tell the reason")
            told.setdefault(reason, []).extend(texts)
    return tuple((r, re.compile("|".join(map(_word, texts)), re.IGNORECASE)) for r, texts in told.items())


def glob(pattern: str) -> re.Pattern[str]:
    """A glob as a pattern for `fullmatch`: `*` is any text (captured), everything else itself; case does not matter."""
    return re.compile("(.*)".join(re.escape(p) for p in pattern.split("*")), re.IGNORECASE | re.DOTALL)


def _word(word: str) -> str:
    return rf"(?<!\d){word}(?!\d)" if word.isdigit() else re.escape(word)


def _compile(name: str, files: Mapping[str, File]) -> Dialect:
    own = files[name]
    lineage = _lineage(name, files)
    rank = next((f.data["rank"] for f in own.layers if "rank" in f.data), None)
    if not isinstance(rank, int) or isinstance(rank, bool):
        own.fail("rank", rank, "give a whole number; the lowest wins when several dialects recognise a span")
    usage: dict[str, Any] = {}
    for file in reversed(lineage):
        usage |= file.table("usage")
    for key in usage.keys() - {"input", "output", "providers"}:
        own.fail(f"usage.{key}", usage[key], "use input, output, providers")
    providers = usage.get("providers", {})
    if not isinstance(providers, dict):
        own.fail("usage.providers", providers, 'give a table from provider to basis, such as { acme = "exclusive" }')
    return Dialect(
        name=name,
        title=str(next((f.data["title"] for f in own.layers if "title" in f.data), name)),
        rank=rank,
        recognise=_recognise(own),
        kinds=tuple(_kind_rule(f, i, r) for f in lineage for i, r in enumerate(f.rules())),
        fields=_fields(lineage),
        values=_patterns(lineage),
        names=_names(lineage),
        constants=_constants(lineage),
        redacted=frozenset(t for f in lineage for t in f.texts("redacted", f.data.get("redacted", []))),
        input_basis=_basis(own, "input", usage),
        output_basis=_basis(own, "output", usage),
        provider_basis=tuple((glob(p), _basis(own, p, providers)) for p in providers),
    )


def _lineage(name: str, files: Mapping[str, File]) -> list[File]:
    """The file, its parents in order, and the base; each once, each before the one that it adds to."""
    found: list[str] = []
    queue = [name]
    while queue:
        current = queue.pop(0)
        if current not in found and current != BASE:
            found.append(current)
            queue = files[current].parents + queue
    return [layer for n in [*found, BASE] for layer in files[n].layers]


def _recognise(own: File) -> dict[str, tuple[str, ...]]:
    for file in own.layers:
        for key, value in file.table("recognise").items():
            if key not in _RECOGNISERS:
                file.fail(f"recognise.{key}", value, f"use {', '.join(_RECOGNISERS)}")
    return {
        k: tuple(t for f in own.layers for t in f.texts(f"recognise.{k}", f.table("recognise").get(k, [])))
        for k in _RECOGNISERS
    }


def _kind_rule(file: File, index: int, rule: dict[str, Any]) -> KindRule:
    where = f"kind[{index}]"
    if "has" in rule and isinstance(rule.get("is"), str):
        return KindRule(_source(file, f"{where}.has", rule["has"]), present=_kind(file, where, rule["is"]))
    if "from" not in rule:
        file.fail(where, rule, "give `from` and `is`, or `has` and `is`")
    source = None if rule["from"] == SPAN_NAME else _source(file, f"{where}.from", rule["from"])
    if isinstance(rule.get("is_span_name"), str):
        return KindRule(source, same_as_name=_kind(file, where, rule["is_span_name"]))
    values = rule.get("is")
    if not isinstance(values, dict):
        file.fail(f"{where}.is", values, 'give a table from value to kind, such as { chat = "llm.call" }')
    return KindRule(source, values=tuple((glob(v), _kind(file, where, k)) for v, k in values.items()))


def _kind(file: File, where: str, value: object) -> Kind:
    for kind in KINDS:
        if kind == value:
            return kind
    return file.fail(where, value, f"unknown kind; use one of {', '.join(KINDS)}")


def _fields(lineage: list[File]) -> dict[str, tuple[Source, ...]]:
    fields: dict[str, list[Source]] = {}
    for file in lineage:
        for name, keys in file.table("fields").items():
            if name not in FIELD_TYPES:
                file.fail(f"fields.{name}", keys, f"unknown field; use one of {', '.join(MAPPED_FIELDS)}")
            for key in file.texts(f"fields.{name}", keys):
                source = _source(file, f"fields.{name}", key)
                if source.path and FIELD_TYPES[name] == "content":
                    file.fail(f"fields.{name}", key, "content is hashed as a whole; give the key without a path")
                if source not in fields.setdefault(name, []):
                    fields[name].append(source)
            if len(fields.get(name, ())) > MAX_SOURCES:
                file.fail(f"fields.{name}", keys, f"give at most {MAX_SOURCES} sources, those of its parents included")
    return {name: tuple(sources) for name, sources in fields.items()}


def _source(file: File, where: str, text: object) -> Source:
    """`key`, `key#path.in.json`, either followed by ` when kind, kind`."""
    if not isinstance(text, str) or not text:
        file.fail(where, text, "give an attribute key")
    place, _, kinds = text.partition(" when ")
    key, _, path = place.strip().partition("#")
    wanted = frozenset(_kind(file, where, k.strip()) for k in kinds.split(",")) if kinds else frozenset()
    return Source(key, tuple(path.split(".")) if path else (), wanted)


def _patterns(lineage: list[File]) -> dict[str, tuple[tuple[re.Pattern[str], str], ...]]:
    values: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for file in lineage:
        for name, entries in file.table("values").items():
            if name not in (*FIELD_TYPES, "name") or not isinstance(entries, dict):
                file.fail(f"values.{name}", entries, "give a field and a table from value to canonical word")
            values.setdefault(name, []).extend((glob(p), str(v)) for p, v in entries.items())
    return {name: tuple(entries) for name, entries in values.items()}


def _names(lineage: list[File]) -> dict[str, tuple[re.Pattern[str], ...]]:
    names: dict[str, list[re.Pattern[str]]] = {}
    for file in lineage:
        for name, patterns in file.table("names").items():
            if name not in NAMED_KINDS:
                file.fail(f"names.{name}", patterns, f"no name tells it; use one of {', '.join(NAMED_KINDS)}")
            names.setdefault(name, []).extend(glob(p) for p in file.texts(f"names.{name}", patterns))
    return {name: tuple(patterns) for name, patterns in names.items()}


def _constants(lineage: list[File]) -> dict[str, str]:
    constants: dict[str, str] = {}
    for file in reversed(lineage):
        for name, value in file.table("constants").items():
            if name not in _CONSTANTS:
                file.fail(f"constants.{name}", value, f"not a text of a span; use one of {', '.join(_CONSTANTS)}")
            constants[name] = value if isinstance(value, str) else file.fail(f"constants.{name}", value, "give a text")
    return constants


def _basis(file: File, key: str, usage: Mapping[str, Any]) -> Basis:
    value = usage.get(key, "unknown" if key == "input" else "inclusive")
    for basis in get_args(Basis):
        if basis == value:
            return basis  # type: ignore[no-any-return]
    return file.fail(f"usage.{key}", value, f"use one of {', '.join(get_args(Basis))}")
