"""The settings of the whole program: flag before environment before spanledger.toml before default."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from collector.errors import ConfigError
from collector.identity import MIN_KEY_CHARACTERS

FILE_NAME = "spanledger.toml"
PREFIX = "SPANLEDGER_"

MIN_SIZE_BYTES = 64 << 10
_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


@dataclass(frozen=True)
class Limits:
    """What a transport may take in. `max_body_bytes` holds before and after decompression."""

    max_body_bytes: int = 64 << 20
    max_inflight_bytes: int = 256 << 20
    head_timeout_s: float = 5.0
    body_grace_s: float = 5.0
    body_bytes_per_s: int = 16 << 10
    cors_origins: tuple[str, ...] = ()


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("a path")
    return Path(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a non-empty text")
    return value.strip()


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        try:
            number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return number

    return parse


def _size(value: Any) -> int:
    match = re.fullmatch(r"(\d{1,15})\s*([a-z]*)", str(value).strip().lower(), re.ASCII)
    size = int(match[1]) * _UNITS.get(match[2], 0) if match else 0
    if size < MIN_SIZE_BYTES:
        raise ValueError(f'a number of bytes of at least {MIN_SIZE_BYTES}, such as 1048576, "64MiB" or "1GB"')
    return size


def _level(value: Any) -> str:
    levels = ("debug", "info", "warning", "error")
    if str(value).lower() not in levels:
        raise ValueError(f"one of {', '.join(levels)}")
    return str(value).lower()


def _origins(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(i, str) for i in items):
        raise ValueError("a list of origins")
    origins = tuple(i.strip().rstrip("/") for i in items if i.strip())
    if any(o != "*" and not o.startswith(("http://", "https://")) for o in origins):
        raise ValueError('origins such as "https://app.example.com", or "*"')
    return origins


def _secret(value: Any) -> str:
    if not isinstance(value, str) or len(value.strip()) < MIN_KEY_CHARACTERS or not value.isascii():
        raise ValueError(f"at least {MIN_KEY_CHARACTERS} ASCII characters")
    return value.strip()


def _row(parse: Callable[[Any], Any], about: str, *, secret: bool = False) -> dict[str, Any]:
    return {"parse": parse, "help": about, "secret": secret}


@dataclass(frozen=True)
class Settings:
    """Every setting, one row each: name, default, meaning (docs/configuration.md shows the same rows)."""

    data: Path = field(
        default=Path("spanledger-data"),
        metadata=_row(_path, "Folder that holds everything: store, audit, keys, state."),
    )
    host: str = field(
        default="127.0.0.1",
        metadata=_row(
            _text, "Address of all listeners. Beyond loopback an ingest key and an admin token are required."
        ),
    )
    http_port: int = field(default=4318, metadata=_row(_whole(0, 65535), "Port of OTLP/HTTP; 0 picks a free one."))
    grpc_port: int = field(default=4317, metadata=_row(_whole(0, 65535), "Port of OTLP/gRPC; 0 picks a free one."))
    port: int = field(
        default=8080, metadata=_row(_whole(0, 65535), "Port of the pages, the API and /metrics; 0 picks a free one.")
    )
    max_body_bytes: int = field(
        default=64 << 20,
        metadata=_row(_size, "Largest request, before and after decompression; larger ones are refused for good."),
    )
    max_inflight_bytes: int = field(
        default=256 << 20,
        metadata=_row(
            _size, "Most bytes of HTTP request bodies held in memory at once; beyond it senders are asked to retry."
        ),
    )
    max_queue_bytes: int = field(
        default=128 << 20,
        metadata=_row(_size, "Most bytes that wait to be stored; beyond it senders are asked to retry."),
    )
    memory_limit: str = field(
        default="1GB", metadata=_row(_text, "Memory that the store's engine may use, in its own notation.")
    )
    retention_days: int = field(
        default=400, metadata=_row(_whole(1, 36_500), "Days that spans, runs and costs are kept, counted from arrival.")
    )
    cors_origins: tuple[str, ...] = field(
        default=(), metadata=_row(_origins, "Browser origins that may send telemetry, comma-separated; `*` for any.")
    )
    log_level: str = field(
        default="info", metadata=_row(_level, "Least severe log line written: debug, info, warning or error.")
    )
    ingest_key: str = field(
        default="",
        repr=False,
        metadata=_row(_secret, "Key that senders must present; environment or file only.", secret=True),
    )
    admin_token: str = field(
        default="",
        repr=False,
        metadata=_row(_secret, "Token for reading and for acts; environment or file only.", secret=True),
    )

    @property
    def limits(self) -> Limits:
        """What the transports need of this."""
        return Limits(
            max_body_bytes=self.max_body_bytes,
            max_inflight_bytes=self.max_inflight_bytes,
            cors_origins=self.cors_origins,
        )

    @classmethod
    def load(cls, flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> "Settings":
        """Read all sources. `flags`: values by field name, None where not given. `file`: instead of the
        spanledger.toml of the data folder or, if it has none, of the working folder.

        Raises ConfigError naming the setting, its value (never a secret's) and the remedy.
        """
        values: dict[str, Any] = {}
        data = flags.get("data") or environ.get(PREFIX + "DATA") or cls.data
        path = file or next((p for p in (Path(data) / FILE_NAME, Path(FILE_NAME)) if p.is_file()), None)
        for name, value in _read(path).items() if path else ():
            values[name] = _parse(name, value, f"{name} in {path}")
        for name in FIELDS:
            if (value := _from_environment(name, environ)) is not None:
                values[name] = _parse(name, value, PREFIX + name.upper())
            if (value := flags.get(name)) is not None:
                values[name] = _parse(name, value, "--" + name.replace("_", "-"))
        return cls(**values)


FIELDS = {f.name: f for f in fields(Settings)}


def _parse(name: str, value: Any, source: str) -> Any:
    metadata = FIELDS[name].metadata
    try:
        return metadata["parse"](value)
    except ValueError as e:
        shown = "its value (not shown)" if metadata["secret"] else repr(value)
        raise ConfigError(f"{source}: {shown} cannot be used, it must be {e}") from None


def _from_environment(name: str, environ: Mapping[str, str]) -> str | None:
    variable = PREFIX + name.upper()
    value = environ.get(variable)
    if not FIELDS[name].metadata["secret"]:
        return value
    file = environ.get(variable + "_FILE")
    if file is None:
        return value
    if value is not None:
        raise ConfigError(f"{variable} and {variable}_FILE are both set: unset one")
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "not UTF-8 text"
        raise ConfigError(f"{variable}_FILE: {file} cannot be read ({reason}): name a readable file") from None


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says. Raises ConfigError naming the file and the place."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read ({e.strerror})") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ConfigError(f"{path}: cannot be read as TOML: {e}") from None


def _read(path: Path) -> dict[str, Any]:
    values = read_toml(path)
    for name in values:
        if name not in FIELDS:
            known = ", ".join(n for n, f in FIELDS.items() if not f.metadata["secret"])
            raise ConfigError(f"{name} in {path} is not a setting: remove it; the settings are {known}")
        if FIELDS[name].metadata["secret"]:
            variable = PREFIX + name.upper()
            raise ConfigError(f"{name} in {path}: secrets do not belong in it, set {variable} or {variable}_FILE")
    return values
