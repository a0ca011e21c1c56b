"""Dialect tables: read from TOML, checked, compiled to look-ups. The format is described in docs/dialects.md."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from collector.semconv import FIELDS, KINDS, Kind

Basis = Literal["inclusive", "exclusive", "unknown"]

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

_SECTIONS = {
    "dialect",
    "title",
    "rank",
    "extends",
    "recognise",
    "kind",
    "fields",
    "values",
    "names",
    "constants",
    "usage",
    "redacted",
}
_RECOGNISERS = ("attributes", "scopes", "services", "names")


class TableError(ValueError):
    """A dialect table says something that cannot be meant; the message names file, key, value and remedy."""


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

    kept: keys and globs of attributes whose values stay. reasons: (error reason, words that tell it), in order.
    """

    dialects: tuple[Dialect, ...]
    kept: tuple[str, ...]
    reasons: tuple[tuple[str, re.Pattern[str]], ...] = ()

    @cached_property
    def codes(self) -> dict[str, int]:
        """Dialect name to code."""
        return {d.name: i for i, d in enumerate(self.dialects)}


@dataclass
class _File:
    path: Path
    data: dict[str, Any]
    parents: list[str] = field(default_factory=list)

    def fail(self, key: str, value: object, remedy: str) -> NoReturn:
        raise TableError(f"{self.path.name}: {key} = {value!r}: {remedy}")


def load_tables(extra: Path | None = None) -> Tables:
    """The built-in tables plus those in the folder `extra`; a file there replaces the built-in one of the same dialect.

    Raises TableError for a file that cannot be read or says something impossible.
    """
    files: dict[str, _File] = {}
    kept: list[str] = []
    reasons: dict[str, list[str]] = {}
    paths = sorted(BUILT_IN.glob("*.toml")) + (sorted(extra.glob("*.toml")) if extra else [])
    for path in paths:
        file = _File(path, _read(path))
        if "dialect" not in file.data:
            kept += _strings(file, "kept", file.data.get("kept", []))
            reasons |= file.data.get("reasons", {})
            continue
        files[str(file.data["dialect"])] = file
    for file in files.values():
        for key in file.data.keys() - _SECTIONS:
            file.fail(key, file.data[key], f"unknown section; use one of {', '.join(sorted(_SECTIONS))}")
        file.parents = _strings(file, "extends", file.data.get("extends", []))
        for parent in file.parents:
            if parent not in files:
                file.fail("extends", parent, f"no such dialect; known: {', '.join(sorted(files))}")
    dialects = [_compile(name, files) for name in files]
    words = tuple((r, re.compile("|".join(map(_word, w)), re.IGNORECASE)) for r, w in reasons.items())
    return Tables(tuple(sorted(dialects, key=lambda d: (d.rank, d.name))), tuple(kept), words)


def glob(pattern: str) -> re.Pattern[str]:
    """A glob as a pattern for `fullmatch`: `*` is any text (captured), everything else itself; case does not matter."""
    return re.compile("(.*)".join(re.escape(p) for p in pattern.split("*")), re.IGNORECASE | re.DOTALL)


def _word(word: str) -> str:
    return rf"(?<!\d){word}(?!\d)" if word.isdigit() else re.escape(word)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise TableError(f"{path.name}: {e}: correct the file or remove it from the folder of dialect tables") from e


def _compile(name: str, files: Mapping[str, _File]) -> Dialect:
    lineage = _lineage(name, files)
    own = files[name]
    rank = own.data.get("rank")
    if not isinstance(rank, int):
        own.fail("rank", rank, "give a whole number; the lowest wins when several dialects recognise a span")
    recognise = own.data.get("recognise", {})
    for key in recognise.keys() - set(_RECOGNISERS):
        own.fail(f"recognise.{key}", recognise[key], f"use {', '.join(_RECOGNISERS)}")
    usage: dict[str, Any] = {}
    for file in reversed(lineage):
        usage |= file.data.get("usage", {})
    return Dialect(
        name=name,
        title=str(own.data.get("title", name)),
        rank=rank,
        recognise={k: tuple(_strings(own, f"recognise.{k}", recognise.get(k, []))) for k in _RECOGNISERS},
        kinds=tuple(_kind_rule(f, i, r) for f in lineage for i, r in enumerate(f.data.get("kind", []))),
        fields=_fields(lineage),
        values=_patterns(lineage),
        names=_names(lineage),
        constants={k: v for f in reversed(lineage) for k, v in f.data.get("constants", {}).items()},
        redacted=frozenset(t for f in lineage for t in _strings(f, "redacted", f.data.get("redacted", []))),
        input_basis=_basis(own, "input", usage),
        output_basis=_basis(own, "output", usage),
        provider_basis=tuple((glob(p), _basis(own, p, usage["providers"])) for p in usage.get("providers", {})),
    )


def _lineage(name: str, files: Mapping[str, _File]) -> list[_File]:
    """The file, its parents in order, and the base; each once."""
    found: list[str] = []
    queue = [name]
    while queue:
        current = queue.pop(0)
        if current not in found and current != BASE:
            found.append(current)
            queue = files[current].parents + queue
    return [files[n] for n in [*found, BASE]]


def _kind_rule(file: _File, index: int, rule: dict[str, Any]) -> KindRule:
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


def _kind(file: _File, where: str, value: object) -> Kind:
    for kind in KINDS:
        if kind == value:
            return kind
    return file.fail(where, value, f"unknown kind; use one of {', '.join(KINDS)}")


def _fields(lineage: list[_File]) -> dict[str, tuple[Source, ...]]:
    fields: dict[str, list[Source]] = {}
    for file in lineage:
        for name, keys in file.data.get("fields", {}).items():
            if name not in FIELD_TYPES:
                file.fail(f"fields.{name}", keys, f"unknown field; use one of {', '.join(MAPPED_FIELDS)}")
            for key in _strings(file, f"fields.{name}", keys):
                source = _source(file, f"fields.{name}", key)
                if source.path and FIELD_TYPES[name] == "content":
                    file.fail(f"fields.{name}", key, "content is hashed as a whole; give the key without a path")
                if source not in fields.setdefault(name, []):
                    fields[name].append(source)
    return {name: tuple(sources) for name, sources in fields.items()}


def _source(file: _File, where: str, text: object) -> Source:
    """`key`, `key#path.in.json`, either followed by ` when kind, kind`."""
    if not isinstance(text, str) or not text:
        file.fail(where, text, "give an attribute key")
    place, _, kinds = text.partition(" when ")
    key, _, path = place.strip().partition("#")
    wanted = frozenset(_kind(file, where, k.strip()) for k in kinds.split(",")) if kinds else frozenset()
    return Source(key, tuple(path.split(".")) if path else (), wanted)


def _patterns(lineage: list[_File]) -> dict[str, tuple[tuple[re.Pattern[str], str], ...]]:
    values: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for file in lineage:
        for name, entries in file.data.get("values", {}).items():
            if name not in FIELD_TYPES or not isinstance(entries, dict):
                file.fail(f"values.{name}", entries, "give a field and a table from value to canonical word")
            values.setdefault(name, []).extend((glob(p), str(v)) for p, v in entries.items())
    return {name: tuple(entries) for name, entries in values.items()}


def _names(lineage: list[_File]) -> dict[str, tuple[re.Pattern[str], ...]]:
    names: dict[str, list[re.Pattern[str]]] = {}
    for file in lineage:
        for name, patterns in file.data.get("names", {}).items():
            if name not in FIELD_TYPES:
                file.fail(f"names.{name}", patterns, f"unknown field; use one of {', '.join(MAPPED_FIELDS)}")
            names.setdefault(name, []).extend(glob(p) for p in _strings(file, f"names.{name}", patterns))
    return {name: tuple(patterns) for name, patterns in names.items()}


def _basis(file: _File, key: str, usage: Mapping[str, Any]) -> Basis:
    value = usage.get(key, "unknown" if key == "input" else "inclusive")
    for basis in get_args(Basis):
        if basis == value:
            return basis  # type: ignore[no-any-return]
    return file.fail(f"usage.{key}", value, f"use one of {', '.join(get_args(Basis))}")


def _strings(file: _File, key: str, value: object) -> list[str]:
    items: Iterable[object] = value if isinstance(value, list) else [value]
    texts = [v for v in items if isinstance(v, str)]
    if len(texts) != len(list(items)):
        file.fail(key, value, "give a list of texts")
    return texts
