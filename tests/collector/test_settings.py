"""Settings: where they come from, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from collector.errors import ConfigError
from collector.settings import Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(environ: dict[str, str] | None = None, file: Path | None = None, **flags: Any) -> Settings:
    """Settings from these sources alone."""
    return Settings.load(flags, environ or {}, file)


def test_defaults() -> None:
    """Without any source the ports are OTLP's own, on loopback."""
    settings = load()
    assert settings == Settings()
    assert (settings.host, settings.http_port, settings.grpc_port, settings.port) == ("127.0.0.1", 4318, 4317, 8080)


def test_precedence(folder: Path) -> None:
    """A flag beats the environment, which beats the file, which beats the default."""
    (folder / "spanledger.toml").write_text("port = 1\nhttp_port = 1\ngrpc_port = 1\n")
    environ = {"SPANLEDGER_PORT": "2", "SPANLEDGER_HTTP_PORT": "2", "UNRELATED": "x"}
    settings = load(environ, port=3, retention_days=None)
    assert (settings.port, settings.http_port, settings.grpc_port, settings.retention_days) == (3, 2, 1, 400)


def test_which_file(folder: Path) -> None:
    """A named file is the only one; else the data folder's, else the working folder's."""
    (folder / "d").mkdir()
    for path, port in ((folder / "spanledger.toml", 1), (folder / "d" / "spanledger.toml", 2), (folder / "x.toml", 3)):
        path.write_text(f"port = {port}\n")
    assert load().port == 1
    assert load(data="d").port == 2
    assert load({"SPANLEDGER_DATA": "d"}).port == 2
    assert load(data="d", file=folder / "x.toml").port == 3
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load(file=folder / "none.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1048576", 1 << 20), ("64MiB", 64 << 20), ("1 gb", 10**9), ("65536B", 65536), (1 << 20, 1 << 20)],
    ids=range(5),
)
def test_sizes(text: Any, value: int) -> None:
    """Sizes may have a unit."""
    assert load(max_body_bytes=text).max_body_bytes == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "http"),
        ("port", ""),
        ("port", True),
        ("max_body_bytes", "64 parsecs"),
        ("max_body_bytes", "1000"),
        ("max_queue_bytes", "-5MiB"),
        ("retention_days", "0"),
        ("retention_days", "1.5"),
        ("host", " "),
        ("log_level", "loud"),
        ("cors_origins", "app.example.com"),
        ("data", ""),
    ],
)
def test_bad_values(name: str, value: Any) -> None:
    """A value that cannot be used is named with its source and with what it must be."""
    with pytest.raises(ConfigError, match=rf"--{name.replace('_', '-')}: .* cannot be used, it must be "):
        load(**{name: value})
    if isinstance(value, str):
        with pytest.raises(ConfigError, match=f"SPANLEDGER_{name.upper()}: "):
            load({f"SPANLEDGER_{name.upper()}": value})


def test_bad_files(folder: Path) -> None:
    """An unknown key, a bad value and broken TOML each name the file and the key."""
    file = folder / "spanledger.toml"
    for text, message in (
        ("prot = 1", "prot in spanledger.toml is not a setting.*http_port"),
        ("port = 'x'", "port in spanledger.toml: 'x'"),
        ("port = ", "spanledger.toml: cannot be read as TOML"),
        ("[server]\nport = 1", "server in spanledger.toml is not a setting"),
        ("ingest_key = 'abc'", "secrets do not belong in it, set SPANLEDGER_INGEST_KEY or SPANLEDGER_INGEST_KEY_FILE"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load()


def test_secrets(folder: Path) -> None:
    """Secrets come from the environment or from a file named there, and are never shown."""
    (folder / "key").write_text("k" * 20 + "\n")
    settings = load({"SPANLEDGER_INGEST_KEY_FILE": str(folder / "key"), "SPANLEDGER_ADMIN_TOKEN": "t" * 20})
    assert (settings.ingest_key, settings.admin_token) == ("k" * 20, "t" * 20)
    assert "kkk" not in repr(settings)
    assert "ttt" not in str(settings)
    for environ, message in (
        ({"SPANLEDGER_INGEST_KEY": "short"}, "not shown.*at least 16"),
        ({"SPANLEDGER_INGEST_KEY": ""}, "at least 16"),
        ({"SPANLEDGER_INGEST_KEY": "k" * 20, "SPANLEDGER_INGEST_KEY_FILE": "f"}, "both set"),
        ({"SPANLEDGER_ADMIN_TOKEN_FILE": str(folder / "none")}, "SPANLEDGER_ADMIN_TOKEN_FILE: .*none cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message) as e:
            load(environ)
        assert "short" not in str(e.value)


def test_limits() -> None:
    """The transports get the limits that were set."""
    limits = load(max_body_bytes="1MiB", cors_origins="https://a.example, http://localhost:3000/").limits
    assert limits.max_body_bytes == 1 << 20
    assert limits.cors_origins == ("https://a.example", "http://localhost:3000")
