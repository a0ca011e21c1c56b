"""Who sends: keys to credentials. Keys are held as digests and compared in constant time."""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from collector.errors import ConfigError, Forbidden, Unauthenticated

SCOPES = frozenset({"ingest", "decide", "read", "finops", "content", "audit", "operate", "admin"})
# What one ingest key may do, and what anyone may do on loopback while no key is set ("telling and reading").
TELL = frozenset({"ingest", "decide"})
READ = frozenset({"read", "finops"})

MIN_KEY_CHARACTERS = 16


@dataclass(frozen=True)
class Credential:
    """Who a request comes from. `tenant` None: the attributes of the telemetry decide."""

    name: str
    tenant: str | None
    scopes: frozenset[str]


class Secrets(Protocol):
    """The settings that hold keys; empty means not set."""

    @property
    def ingest_key(self) -> str: ...
    @property
    def admin_token(self) -> str: ...


class Keys:
    """The keys in force and what a caller without one may do."""

    def __init__(self, grants: Iterable[tuple[str, Credential]], *, anonymous: frozenset[str]) -> None:
        self._grants = [(_digest(key.encode()), credential) for key, credential in grants]
        self.anonymous = Credential("anonymous", None, anonymous)

    @classmethod
    def of(cls, settings: Secrets, *, local_token: str = "") -> "Keys":
        """The keys of the settings, and the token of the data folder for acts on this machine.

        What no key guards is open to anyone who reaches the port: `require_keys_off_loopback` keeps that local.
        """
        grants = []
        if settings.ingest_key:
            grants.append((settings.ingest_key, Credential("ingest-key", None, TELL)))
        if settings.admin_token:
            grants.append((settings.admin_token, Credential("admin-token", None, SCOPES)))
        if local_token:
            grants.append((local_token, Credential("local-token", None, SCOPES)))
        anonymous = (frozenset() if settings.ingest_key else TELL) | (frozenset() if settings.admin_token else READ)
        return cls(grants, anonymous=anonymous)

    def require(self, key: bytes, scope: str) -> Credential:
        """The credential of `key` (b"" for none) if it has `scope`.

        An unknown key is worth as much as none. Raises Unauthenticated or Forbidden.
        """
        credential = self.anonymous
        if key and self._grants:
            digest = _digest(key)
            for known, owner in self._grants:
                if hmac.compare_digest(known, digest):
                    credential = owner
        if scope in credential.scopes:
            return credential
        if credential is self.anonymous:
            raise Unauthenticated(
                f"{'this key is not known' if key else 'a key is required'}: send it as "
                "'Authorization: Bearer KEY' or 'x-api-key: KEY'"
            )
        raise Forbidden(f"the credential {credential.name!r} lacks the scope {scope!r}")


def key_of(headers: Mapping[bytes, bytes]) -> bytes:
    """The key in lower-case headers or metadata; b"" for none."""
    authorization = headers.get(b"authorization", b"")
    if authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip()
    return headers.get(b"x-api-key", b"").strip()


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def require_keys_off_loopback(host: str, settings: Secrets) -> None:
    """Raise ConfigError if `host` can be reached from outside while a key is missing."""
    if is_loopback(host):
        return
    missing = [
        f"SPANLEDGER_{name}"
        for name, value in (("INGEST_KEY", settings.ingest_key), ("ADMIN_TOKEN", settings.admin_token))
        if not value
    ]
    if missing:
        raise ConfigError(
            f"host = {host!r} can be reached from other machines, and {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set: set {'it' if len(missing) == 1 else 'them'} "
            "(or the same name with _FILE), or listen on 127.0.0.1"
        )


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
