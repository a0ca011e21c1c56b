"""Tool calls read from model messages, for emitters that send no tool spans.

A model's answer names the calls it asks for; the messages of the next model call end with their results. Older
history in the input is left alone: those calls belong to earlier spans, often of another run.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from itertools import pairwise
from operator import getitem
from typing import Any, NamedTuple

import numpy as np
import orjson

from collector.dialects.embedded import parse, quoting
from collector.dialects.normalised import Normalised
from collector.otlp.attributes import STRING, Attributes, Codes

MAX_DEPTH = 16

# Every JSON encoding of a tool call or of its result has one of these after a quote.
_MARKS = ("tool", "function")
_CALL_TYPES = {"tool_call", "tool-call", "tool_use", "function_call", "toolCall"}
_RESULT_TYPES = {"tool_call_response", "tool-result", "tool_result", "function_call_output", "tool_response"}
_WRAPPED = {"toolUse", "functionCall", "function_call"}
_WRAPPED_RESULT = {"toolResult", "functionResponse", "function_response"}
_CALL_IDS = ("call_id", "toolCallId", "toolUseId", "tool_call_id", "id")
_RESULT_IDS = ("tool_call_id", "tool_use_id", "toolUseId", "toolCallId", "call_id", "id")
_NAMES = ("name", "toolName")
_ARGUMENTS = ("arguments", "input", "args", "parameters")
_RESULTS = ("result", "response", "output", "content", "parts")

# Keys of flattened messages: direction, message number, rest.
_FLAT = re.compile(
    r"(llm\.input_messages|llm\.output_messages|gen_ai\.prompt|gen_ai\.completion)\.(\d+)\.(?:message\.)?(.+)"
)
_FLAT_CALL = re.compile(
    r"(contents\.\d+|tool_calls\.\d+|function_call)\.(?:tool_call\.)?(?:function\.)?(id|name|arguments)"
)
# How a wrapping begins, where in it the content stands, and what else it holds.
_WRAPPINGS: tuple[tuple[bytes, tuple[str, ...], bytes], ...] = (
    (b'{"type": "tool"', ("data", "content"), b""),
    (b'{"output": {"lc"', ("output", "kwargs", "content"), b""),
    (b'{"output":{"content"', ("output", "content"), b""),
    (b'{"lc"', ("kwargs", "content"), b""),
    (b'{"input_str"', ("inputs",), b""),
    (b'{"content"', ("content",), b'"tool_call_id"'),
)
_WRAPPING_STARTS = tuple(start for start, _, _ in _WRAPPINGS)
_ERROR_TEXT = re.compile(r"\s*(?:error|exception|traceback)\b", re.IGNORECASE)
_OUTPUT = ("output", "completion", "choice", "response", "result", "final")


@dataclass
class ToolParts:
    """One row per span and tool call named in its messages.

    span: index of the model call's span. call_id: the emitter's id, or one made of span and position where it gives
    none. asked: the model's answer held the call; arguments is then its text, and tool its name. answered: the input
    ended with the call's result; result is then its text. All lists are equally long.
    """

    span: Codes
    call_id: list[str] = field(default_factory=list)
    tool: list[str | None] = field(default_factory=list)
    arguments: list[str | None] = field(default_factory=list)
    result: list[str | None] = field(default_factory=list)
    asked: list[bool] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.call_id)


class Part(NamedTuple):
    """A tool call, its result (`is_result`), or, without a call id and text, something else that was said."""

    is_result: bool = False
    call_id: str | None = None
    tool: str | None = None
    text: str | None = None


SAID = Part()


class Place(NamedTuple):
    """What a key says of its value: whose words; in a flattened message also its number, the call and its part."""

    is_output: bool
    number: int | None = None
    call: str | None = None
    part: str = ""


def with_tool_parts(attributes: Attributes, rows: Codes) -> Codes:
    """Of these rows of model messages, those of spans where one names a tool call or its result."""
    if not len(rows):
        return rows
    flat = np.array([_is_tool_key(k) for k in attributes.keys], np.bool_)[attributes.key[rows]]
    nested = attributes.type[rows] != STRING
    hit = flat | nested
    hit[~hit] = quoting(attributes.raw(rows[~hit]), _MARKS)
    spans = np.unique(attributes.owner[rows[hit]])
    return rows[np.isin(attributes.owner[rows], spans)]


def tool_parts(normalised: Normalised) -> ToolParts:
    """The tool calls that the messages of a batch name, in the order of their spans."""
    attributes, rows = normalised.spans.attributes, normalised.messages
    rows = rows[np.argsort(attributes.owner[rows], kind="stable")]  # those of events come after all others
    texts = attributes.texts(rows)
    keys = [_place(k) for k in attributes.keys]
    codes, places = texts.codes.tolist(), [keys[k] for k in attributes.key[rows].tolist()]
    documents: dict[int, list[Part]] = {}
    parts = ToolParts(np.zeros(0, np.int32))
    spans: list[int] = []
    owners = attributes.owner[rows]
    for start, end in _runs(owners):
        flat: dict[tuple[bool, int], dict[str, Any]] = {}
        said: list[Part] = []
        heard: list[Part] = []
        for code, place in zip(codes[start:end], places[start:end], strict=True):
            if code < 0:
                continue
            if place.number is not None:
                _gather(flat.setdefault((place.is_output, place.number), {}), place, texts.values[code])
                continue
            if code not in documents:
                documents[code] = list(_parts(parse(texts.values[code]), 0)) or [SAID]
            (said if place.is_output else heard).extend(documents[code])
        for (is_output, _), message in sorted(flat.items()):
            (said if is_output else heard).extend(_flat_parts(message))
        owner = int(owners[start])
        _add(parts, spans, owner, _span_name(normalised, owner), said, _last_results(heard))
    parts.span = np.array(spans, np.int32)
    return parts


def _runs(owners: Codes) -> Iterator[tuple[int, int]]:
    """Where each span's rows start and end, rows being ordered by span."""
    edges = (np.flatnonzero(np.diff(owners)) + 1).tolist()
    return pairwise([0, *edges, len(owners)]) if len(owners) else iter(())


def _add(parts: ToolParts, spans: list[int], owner: int, name: str, said: list[Part], results: list[Part]) -> None:
    """One row per call id of a span."""
    rows: dict[str, list[Any]] = {}
    for i, part in enumerate(p for p in said if p.tool and not p.is_result):
        row = rows.setdefault(part.call_id or f"{name}:{i}", [part.tool, part.text or "{}", None, True, False])
        row[1] = row[1] if part.text is None else part.text
    for part in results:
        if part.call_id:
            row = rows.setdefault(part.call_id, [part.tool, None, None, False, True])
            row[2], row[4] = part.text, True
    for call_id, (tool, arguments, result, asked, answered) in rows.items():
        spans.append(owner)
        parts.call_id.append(call_id)
        parts.tool.append(tool)
        parts.arguments.append(arguments)
        parts.result.append(result)
        parts.asked.append(asked)
        parts.answered.append(answered)


def _last_results(heard: list[Part]) -> list[Part]:
    """The results at the end of an input, named after the calls that they answer."""
    results: list[Part] = []
    calls: dict[str | None, str | None] = {}
    for part in reversed(heard):
        if part.is_result and not calls:
            results.append(part)
        elif part.tool and not part.is_result and results:
            calls[part.call_id] = part.tool
        else:
            break
    return [r._replace(tool=calls.get(r.call_id, r.tool)) for r in reversed(results)]


def _span_name(normalised: Normalised, owner: int) -> str:
    spans = normalised.spans
    return f"{int(spans.trace_hi[owner]):016x}{int(spans.trace_lo[owner]):016x}-{int(spans.span_id[owner]):016x}"


def _parts(value: Any, depth: int) -> Iterator[Part]:
    """Tool parts inside a parsed message or list of messages, in order; a message without any gives SAID."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            yield from _parts(item, depth + 1)
        return
    if not isinstance(value, dict):
        return
    own = _own_part(value)
    if own:
        yield own
        return
    inside = [part for item in value.values() if isinstance(item, dict | list) for part in _parts(item, depth + 1)]
    if inside or not ("role" in value or value.get("type") in ("human", "ai", "system")):
        yield from inside
    else:
        yield SAID


def _own_part(value: dict[str, Any]) -> Part | None:
    """The tool part that a dictionary is, if it is one."""
    for key in _WRAPPED & value.keys():
        if isinstance(value[key], dict):
            return _call(value[key], value)
    for key in _WRAPPED_RESULT & value.keys():
        if isinstance(value[key], dict):
            return _result(value[key])
    kind = _text(value.get("type"))
    if (
        isinstance(value.get("function"), dict)
        and "name" in value["function"]
        and "parameters" not in value["function"]
    ):
        return _call(value["function"], value)
    if kind in _RESULT_TYPES or ("tool_call_id" in value and "tool" in (value.get("role"), kind)):
        return _result(value)
    if kind in _CALL_TYPES or (("toolCallId" in value or "args" in value) and _first(value, _NAMES)):
        return _call(value, value)
    return None


def _call(value: dict[str, Any], outer: dict[str, Any]) -> Part | None:
    name = _first(value, _NAMES)
    call_id = _first(outer, _CALL_IDS) or _first(value, _CALL_IDS)
    arguments = _first(value, _ARGUMENTS)
    return Part(False, _text(call_id), _text(name), _text(arguments)) if name else None


def _result(value: dict[str, Any]) -> Part:
    call_id, name, result = (_text(_first(value, keys)) for keys in (_RESULT_IDS, _NAMES, _RESULTS))
    return Part(True, call_id, name, result or "")


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[k] for k in keys if value.get(k) is not None), None)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _gather(message: dict[str, Any], place: Place, text: str) -> None:
    """Put one attribute of a flattened message where it belongs."""
    if place.call is None:
        message[place.part] = text
    else:
        message.setdefault("calls", {}).setdefault(place.call, {})[place.part] = text


def _flat_parts(message: dict[str, Any]) -> list[Part]:
    if "tool_call_id" in message:
        return [Part(True, message["tool_call_id"], message.get("name"), message.get("content", ""))]
    calls = message.get("calls", {}).values()
    return [Part(False, c.get("id"), c["name"], c.get("arguments")) for c in calls if "name" in c] or [SAID]


@lru_cache(maxsize=16384)
def _is_tool_key(key: str) -> bool:
    match = _FLAT.fullmatch(key)
    return bool(match and ("tool_call" in match[3] or "function_call" in match[3]))


@lru_cache(maxsize=16384)
def _place(key: str) -> Place:
    match = _FLAT.fullmatch(key)
    if not match:
        return Place(any(word in key.lower() for word in _OUTPUT))
    is_output, number, rest = match[1] in ("llm.output_messages", "gen_ai.completion"), int(match[2]), match[3]
    call = _FLAT_CALL.fullmatch(rest)
    return Place(is_output, number, call[1], call[2]) if call else Place(is_output, number, None, rest)


def unwrapped(content: bytes) -> bytes:
    """A tool's arguments or result without what LangChain and those who record it wrap around them: ids and step
    numbers in there would make everything look new."""
    if not content.startswith(_WRAPPING_STARTS):
        return content
    path = next((p for start, p, holds in _WRAPPINGS if content.startswith(start) and holds in content), None)
    if path is None:
        return content
    try:
        inner = reduce(getitem, path, orjson.loads(content))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return content
    if inner is None:
        return content
    return inner.encode() if isinstance(inner, str) else orjson.dumps(inner)


def failure(result: str, reasons: Sequence[tuple[str, re.Pattern[str]]]) -> str | None:
    """The error reason of a tool's result that says it failed: a text that begins with "error", or JSON whose `error`
    or `is_error` is set. None for any other result. `reasons`: those of the tables."""
    said = bool(_ERROR_TEXT.match(result))
    if not said and result.lstrip()[:1] == "{":
        try:
            said = any(orjson.loads(result).get(key) for key in ("error", "is_error", "isError"))
        except orjson.JSONDecodeError:
            said = False
    if not said:
        return None
    return next((reason for reason, pattern in reasons if pattern.search(result[:500])), "other")
