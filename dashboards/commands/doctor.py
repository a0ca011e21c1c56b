"""`doctor`: looks at everything that commonly goes wrong, and says what to do about it."""

import json
import os
import platform
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator

from rich.text import Text

from collector.errors import ConfigError, StoreError
from collector.identity import require_keys_off_loopback
from collector.ports import listen
from collector.settings import Settings
from dashboards.client import FILE_NAME, Remote, Server, running
from dashboards.commands import tables
from dashboards.commands.asking import NO, OK

LOW_DISK_BYTES = 1 << 30
STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}

Finding = tuple[str, str, str]


def doctor(args: Namespace, settings: Settings) -> int:
    """Print each check with its outcome; NO if any failed."""
    server = running(settings.data)
    found = [
        _python(),
        *_folder(settings),
        _rules(settings),
        *(_served(server) if server else _unserved(settings)),
    ]
    items = [dict(zip(("check", "status", "detail"), finding, strict=True)) for finding in found]
    if args.json:
        sys.stdout.write(json.dumps({"items": items, "next_cursor": None}) + "\n")
    else:
        tables.print_table(
            [
                ("check", "left", tables.text("check")),
                ("status", "left", lambda r: Text(r["status"], style=STYLES[r["status"]])),
                ("detail", "wrap", tables.text("detail")),
            ],
            items,
        )
    return NO if any(status == "failed" for _, status, _ in found) else OK


def _python() -> Finding:
    return "python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _folder(settings: Settings) -> Iterator[Finding]:
    data = settings.data
    if not data.is_dir():
        yield "data folder", "warning", f"{data} does not exist yet: `spanledger serve` makes it"
        return
    writable = os.access(data, os.W_OK | os.X_OK)
    remedy = f"this user cannot write to {data}: change its owner, or name another with --data"
    yield "data folder", "ok" if writable else "failed", str(data.resolve()) if writable else remedy
    free = shutil.disk_usage(data).free
    low = free < LOW_DISK_BYTES
    text = f"{free / 1e9:.1f} GB free" + (": make room, a full disk stops the store" if low else "")
    yield "disk", "warning" if low else "ok", text
    for name in ("secret.key", FILE_NAME):
        path = data / name
        if path.exists() and path.stat().st_mode & 0o077:
            yield name, "failed", f"others can read {path}: chmod 600 {path}"


def _rules(settings: Settings) -> Finding:
    from dashboards import rules  # noqa: PLC0415 - Polars and the price list

    try:
        require_keys_off_loopback(settings.host, settings)
        ruled = rules.load(settings.data)
        version = rules.price_book(settings.data).version
        own = len(rules.dialect_tables(settings.data).own)
    except ConfigError as e:
        return "configuration", "failed", str(e)
    told = f"{len(ruled.slos)} SLOs, {len(ruled.alerts.targets)} alert targets, {own} own dialect tables"
    return "configuration", "ok", f"{told}, prices of {version}"


def _served(server: Server) -> Iterator[Finding]:
    yield "server", "ok", f"pid {server.pid}, pages {server.pages}, OTLP {server.otlp_http} and {server.otlp_grpc}"
    source = Remote(server)
    ready = source.get("/readyz").json()
    yield (
        "ready",
        "ok" if ready["status"] == "ready" else "failed",
        ready.get("reason") or "spans are accepted and stored",
    )
    lag = source.get("/api/v1/runs", {"limit": 1}).json()["lag"]
    detail = f"behind {lag['seconds']:.1f} s, {lag['spans']} spans"
    yield "jobs", "warning" if lag["seconds"] > 10 else "ok", detail


def _unserved(settings: Settings) -> Iterator[Finding]:
    yield "server", "ok", "none runs on this data folder"
    for name in ("port", "http_port", "grpc_port"):
        try:
            listen(settings.host, getattr(settings, name), name).close()
        except ConfigError as e:
            yield name, "failed", str(e)
    path = settings.data / "spanledger.duckdb"
    if not path.exists():
        yield "store", "ok", "none yet"
        return
    from analytics.reports.spans import count_spans  # noqa: PLC0415 - opens DuckDB
    from dashboards.local import open_store  # noqa: PLC0415

    try:
        store = open_store(settings)
        detail = f"{count_spans(store):,} spans, {path.stat().st_size / 1e6:,.1f} MB"
        store.close()
    except StoreError as e:
        yield "store", "failed", str(e)
    else:
        yield "store", "ok", detail
