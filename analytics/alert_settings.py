"""`alerts.toml`: what is worth an alert, and where alerts go. Secrets come from the environment or files."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from collector.errors import ConfigError
from collector.settings import read_toml

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Target:
    """One place that alerts are posted to; each Alertmanager replica is a target of its own."""

    name: str
    kind: Literal["alertmanager", "webhook"]
    url: str
    token: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    allow_networks: tuple[Network, ...] = ()
    timeout_s: float = 5.0


@dataclass(frozen=True)
class AlertSettings:
    """Rules and targets. `daily_spend_usd`: limit by tenant, `*` for all others."""

    targets: tuple[Target, ...] = ()
    resend_s: int = 60
    page_url: str = ""
    daily_spend_usd: Mapping[str, Decimal] = field(default_factory=dict)
    spend_severity: str = "ticket"
    finding_rules: tuple[str, ...] = ("loop",)
    finding_minutes: int = 15
    finding_severity: str = "ticket"
    webhook_token: str = field(default="", repr=False)


def load(path: Path, environ: Mapping[str, str]) -> AlertSettings:
    """Read the file; defaults (no targets) where it is missing.

    Raises ConfigError naming the key, its value (never a secret's) and the remedy.
    """
    if not path.is_file():
        return AlertSettings()
    table = read_toml(path)
    try:
        return _settings(table, environ)
    except _WrongError as e:
        raise ConfigError(f"{path}: {e}") from None


class _WrongError(Exception):
    """A key of the file cannot be used."""


def _settings(table: dict[str, Any], environ: Mapping[str, str]) -> AlertSettings:
    _known(table, "", ("targets", "resend_s", "page_url", "daily_spend", "findings", "webhook_token_env"))
    spend, findings = _table(table, "daily_spend"), _table(table, "findings")
    _known(spend, "daily_spend.", ("limits_usd", "severity"))
    _known(findings, "findings.", ("rules", "minutes", "severity"))
    rows = table.get("targets", [])
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise _WrongError("targets: must be tables, each under [[targets]]")
    targets = tuple(_target(row, f"targets[{i}].", environ) for i, row in enumerate(rows))
    for target in targets:
        if [t.name for t in targets].count(target.name) > 1:
            raise _WrongError(f"targets: the name {target.name!r} is used twice: every target needs its own")
    return AlertSettings(
        targets=targets,
        resend_s=_whole(table, "resend_s", 60, 5, 3600),
        page_url=_address(table["page_url"], "page_url").rstrip("/") if "page_url" in table else "",
        daily_spend_usd={t: _usd(v, t) for t, v in _table(spend, "limits_usd", "daily_spend.").items()},
        spend_severity=_text(spend, "severity", "daily_spend.", "ticket"),
        finding_rules=_texts(findings, "rules", "findings.", ("loop",)),
        finding_minutes=_whole(findings, "minutes", 15, 1, 1440, "findings."),
        finding_severity=_text(findings, "severity", "findings.", "ticket"),
        webhook_token=_secret(table, "webhook_token", "", environ),
    )


def _target(row: dict[str, Any], prefix: str, environ: Mapping[str, str]) -> Target:
    keys = ("name", "kind", "url", "token_env", "secret_env", "allow_networks", "timeout_s")
    _known(row, prefix, keys)
    kind = row.get("kind")
    if kind not in ("alertmanager", "webhook"):
        raise _WrongError(f"{prefix}kind = {kind!r}: must be alertmanager or webhook")
    url = _address(row.get("url"), prefix + "url")
    networks: list[Network] = []
    for text in _texts(row, "allow_networks", prefix, ()):
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError:
            raise _WrongError(f"{prefix}allow_networks: {text!r} must be a network such as 10.0.0.0/8") from None
    return Target(
        name=_text(row, "name", prefix),
        kind=kind,
        url=url,
        token=_secret(row, "token", prefix, environ),
        secret=_secret(row, "secret", prefix, environ),
        allow_networks=tuple(networks),
        timeout_s=float(_whole(row, "timeout_s", 5, 1, 60, prefix)),
    )


def _known(table: Mapping[str, Any], prefix: str, keys: tuple[str, ...]) -> None:
    for key in table:
        if key not in keys:
            raise _WrongError(f"{prefix}{key}: is not known; there are {', '.join(keys)}")


def _table(table: Mapping[str, Any], key: str, prefix: str = "") -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise _WrongError(f"{prefix}{key} = {value!r}: must be a table")
    return value


def _text(table: Mapping[str, Any], key: str, prefix: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value:
        raise _WrongError(f"{prefix}{key} = {value!r}: must be a non-empty text")
    return value


def _texts(table: Mapping[str, Any], key: str, prefix: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = table.get(key, default)
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) and v for v in value):
        raise _WrongError(f"{prefix}{key} = {value!r}: must be a list of texts")
    return tuple(value)


def _whole(table: Mapping[str, Any], key: str, default: int, least: int, most: int, prefix: str = "") -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _WrongError(f"{prefix}{key} = {value!r}: must be a whole number from {least} to {most}")
    return value


def _usd(value: Any, tenant: str) -> Decimal:
    try:
        amount = Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or amount < 0:
        raise _WrongError(f'daily_spend.limits_usd.{tenant} = {value!r}: must be dollars in quotes, as in "50"')
    return amount


def _address(value: Any, name: str) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    try:
        usable = parts and parts.scheme in ("http", "https") and parts.hostname and (parts.port or 80)
    except ValueError:
        usable = False
    if not parts or not usable:
        raise _WrongError(f"{name} = {value!r}: must be an address that begins with http:// or https://")
    if parts.username or parts.password:
        raise _WrongError(f"{name}: must not hold a user name or password; use token_env")
    return str(value)


def _secret(table: Mapping[str, Any], key: str, prefix: str, environ: Mapping[str, str]) -> str:
    """The value of the environment variable that `KEY_env` names, or of the file that `NAME_FILE` names."""
    name = table.get(key + "_env")
    if name is None:
        return ""
    if not isinstance(name, str) or not name:
        raise _WrongError(f"{prefix}{key}_env: must name an environment variable")
    value = environ.get(name, "")
    if not value and (file := environ.get(name + "_FILE")):
        try:
            value = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise _WrongError(f"{prefix}{key}_env: {name}_FILE names {file}, which cannot be read") from None
    if not value.strip():
        raise _WrongError(f"{prefix}{key}_env: neither {name} nor {name}_FILE is set in the environment")
    return value.strip()
