"""Who sent a span: resource and scope, parsed once per distinct bytes."""

from functools import lru_cache

import orjson
from google.protobuf.message import DecodeError

from collector.dialects.normalised import SOURCE_COLUMNS, Row
from collector.dialects.tables import BASE, Tables
from collector.otlp import anyvalue
from collector.otlp.wire import MESSAGES

UNKNOWN_SERVICE = "unknown_service"

# Column of `sources` -> resource attributes that fill it, the best first.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "service": ("service.name",),
    "service_version": ("service.version",),
    "environment": ("deployment.environment.name", "deployment.environment", "langfuse.environment"),
    "instance": ("service.instance.id", "host.name"),
}
_SDK = ("telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version")


@lru_cache(maxsize=4096)
def attributes_of(resource: bytes) -> dict[str, str]:
    """Attributes of a Resource message as text; nested values as JSON. Undecodable bytes have none."""
    try:
        pairs = MESSAGES["Attributed"].FromString(resource).attributes
    except DecodeError:
        return {}
    return {anyvalue.text(kv.key): text for kv in pairs if (text := _text(kv.value))}


@lru_cache(maxsize=4096)
def scope_of(scope: bytes) -> tuple[str, str | None]:
    """Name and version of an InstrumentationScope message; an empty name if it has none."""
    try:
        message = MESSAGES["Scope"].FromString(scope)
    except DecodeError:
        return "", None
    return anyvalue.text(message.name), anyvalue.text(message.version) or None


@lru_cache(maxsize=4096)
def source_row(resource: bytes, scope: bytes, tables: Tables) -> Row:
    """One row of SOURCE_COLUMNS[1:]. Identity is read with the base table, as on spans."""
    attributes = attributes_of(resource)
    fields = tables.dialects[tables.codes[BASE]].fields
    values: dict[str, str | None] = {c: _first(attributes, keys) for c, keys in _COLUMNS.items()}
    values["service"] = values["service"] or UNKNOWN_SERVICE
    values["scope"], values["scope_version"] = scope_of(scope)
    values["sdk"] = " ".join(attributes[k] for k in _SDK if k in attributes) or None
    for column in SOURCE_COLUMNS[1:]:
        if column not in values:
            values[column] = _first(attributes, tuple(s.key for s in fields.get(column, ()) if not s.path))
    return tuple(values[c] for c in SOURCE_COLUMNS[1:])


def _first(attributes: dict[str, str], keys: tuple[str, ...]) -> str | None:
    return next((attributes[k] for k in keys if k in attributes), None)


def _text(value: object) -> str:
    try:
        python = anyvalue.python_value(value)
    except anyvalue.TooDeep:
        return ""
    if python is None or isinstance(python, str):
        return python or ""
    return orjson.dumps(python).decode()
