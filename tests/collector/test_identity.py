"""Keys, credentials and the refusal to listen in the open."""

import pytest

from collector.errors import ConfigError, Forbidden, Unauthenticated
from collector.identity import SCOPES, Credential, Keys, is_loopback, key_of, require_keys_off_loopback
from collector.settings import Settings

INGEST, ADMIN = "ingest-key-0123456789", "admin-token-0123456789"


def test_open_without_keys() -> None:
    """Without keys anyone on loopback may tell and read, and no more; a key that nobody asked for does no harm."""
    keys = Keys.of(Settings())
    for scope in ("ingest", "decide", "read", "finops"):
        assert keys.require(b"", scope).tenant is None
        assert keys.require(b"whatever", scope).name == "anonymous"
    for scope in ("admin", "operate", "audit", "content"):
        with pytest.raises(Unauthenticated):
            keys.require(b"", scope)


def test_ingest_key_guards_telling() -> None:
    """With an ingest key senders need it; it does not open anything else."""
    keys = Keys.of(Settings(ingest_key=INGEST))
    assert keys.require(INGEST.encode(), "ingest").name == "ingest-key"
    for wrong in (b"", b"wrong", INGEST.encode()[:-1]):
        with pytest.raises(Unauthenticated):
            keys.require(wrong, "ingest")
    with pytest.raises(Forbidden, match=r"ingest-key.*admin"):
        keys.require(INGEST.encode(), "admin")
    assert keys.require(b"", "read")


def test_admin_token_may_all() -> None:
    """The admin token has every scope and closes reading to others; so has the token of the data folder."""
    keys = Keys.of(Settings(admin_token=ADMIN), local_token="local-token-0123456789")
    for scope in SCOPES:
        assert keys.require(ADMIN.encode(), scope).name == "admin-token"
        assert keys.require(b"local-token-0123456789", scope).name == "local-token"
    with pytest.raises(Unauthenticated):
        keys.require(b"", "read")


def test_keys_bound_to_tenants() -> None:
    """Any number of keys can each have a tenant and scopes of their own."""
    grants = [(f"key-of-{t}-0123456789", Credential(t, t, frozenset({"ingest"}))) for t in ("acme", "globex")]
    keys = Keys(grants, anonymous=frozenset())
    assert keys.require(b"key-of-globex-0123456789", "ingest").tenant == "globex"
    with pytest.raises(Unauthenticated):
        keys.require(b"", "ingest")


def test_keys_are_not_kept_in_clear() -> None:
    """Neither the object nor a refusal shows a key."""
    keys = Keys.of(Settings(ingest_key=INGEST, admin_token=ADMIN))
    assert INGEST not in repr(vars(keys)) + repr(Settings(ingest_key=INGEST))
    with pytest.raises(Unauthenticated) as e:
        keys.require(b"someone's secret", "ingest")
    assert "someone" not in e.value.reason


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, b""),
        ({b"authorization": b"Bearer abc"}, b"abc"),
        ({b"authorization": b"bearer  abc "}, b"abc"),
        ({b"authorization": b"Basic abc"}, b""),
        ({b"x-api-key": b"abc"}, b"abc"),
        ({b"authorization": b"Basic abc", b"x-api-key": b"def"}, b"def"),
        ({b"authorization": b"Bearer abc", b"x-api-key": b"def"}, b"abc"),
    ],
)
def test_key_of(headers: dict[bytes, bytes], key: bytes) -> None:
    """The key comes as a bearer token or as x-api-key."""
    assert key_of(headers) == key


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("example.com", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Only addresses that stay on this machine count as loopback; unknown names do not."""
    assert is_loopback(host) == loopback


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (Settings(), "SPANLEDGER_INGEST_KEY and SPANLEDGER_ADMIN_TOKEN are"),
        (Settings(ingest_key=INGEST), "SPANLEDGER_ADMIN_TOKEN is"),
        (Settings(admin_token=ADMIN), "SPANLEDGER_INGEST_KEY is"),
    ],
    ids=["none", "only ingest", "only admin"],
)
def test_no_open_port_without_keys(settings: Settings, missing: str) -> None:
    """An address that others reach is refused until both keys are set, and the error says which and how."""
    require_keys_off_loopback("127.0.0.1", settings)
    with pytest.raises(ConfigError, match=f"{missing} not set.*_FILE.*127.0.0.1"):
        require_keys_off_loopback("0.0.0.0", settings)
    require_keys_off_loopback("0.0.0.0", Settings(ingest_key=INGEST, admin_token=ADMIN))
