"""The application of pages and API: what it needs is passed in."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI

from analytics.alert_settings import AlertSettings
from analytics.maintenance import Maintenance
from analytics.owners import OwnerMap
from analytics.pricing.book import PriceBook
from analytics.slo import Slo
from analytics.tenants import UTC, TimeZones
from collector.dialects.engine import TABLES
from collector.dialects.tables import Tables
from collector.identity import Keys
from collector.settings import Settings
from collector.store import Store
from dashboards import login
from dashboards.api import ROUTERS
from dashboards.api.answers import refuse_properly
from dashboards.api.remaps import Turn
from dashboards.door import Door, Sessions
from dashboards.pages import PAGES
from dashboards.pages.frame import nowhere, refused
from dashboards.self_check import Checked


@dataclass(frozen=True)
class Rules:
    """What people wrote about objectives, alerts, owners, planned maintenance and the clocks of tenants.

    `refused` maps a rule file that cannot be used to the reason; what it said before is in force.
    """

    slos: tuple[Slo, ...] = ()
    alerts: AlertSettings = field(default_factory=AlertSettings)
    owners: OwnerMap = field(default_factory=OwnerMap)
    maintenance: tuple[Maintenance, ...] = ()
    zones: TimeZones = UTC
    refused: Mapping[str, str] = field(default_factory=dict)


def create_app(
    store: Store,
    settings: Settings,
    *,
    keys: Keys | None = None,
    rules: Rules | None = None,
    start_id: str = "",
    not_ready: Callable[[], str | None] = lambda: None,
    book: Callable[[], PriceBook] = PriceBook.seeded,
    tables: Callable[[], Tables] = lambda: TABLES,
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
    queue_bytes: Callable[[], int] = lambda: 0,
    self_check: Callable[[], Checked | None] = lambda: None,
    clock: Callable[[], int] = time.time_ns,
) -> FastAPI:
    """Pages and API over `store`.

    `keys` guard it (by default those of the settings), `start_id` tells this start of a server from others,
    `not_ready` gives the reason why spans are not being stored, `book` the price book in force, `tables` the
    dialect tables that arriving spans are read with, `quiet` a context in which no job changes runs, `queue_bytes` what
    waits to be written, `self_check` the last one's result.
    """
    app = FastAPI(
        title="spanledger",
        version=own_version(),
        description="What agent runs did, what they cost, and how complete these numbers are.",
        docs_url=None,
        redoc_url=None,
    )
    state = app.state
    follow(app, rules or Rules())
    state.store, state.settings = store, settings
    state.clock, state.started_ns, state.version = clock, clock(), app.version
    state.start_id, state.not_ready = start_id, not_ready
    state.book, state.quiet = book, quiet
    state.tables, state.remapping = tables, Turn()
    state.queue_bytes, state.self_check = queue_bytes, self_check
    state.keys, state.sessions = keys or Keys.of(settings), Sessions()
    for router in (*ROUTERS, login.router, *PAGES):
        app.include_router(router)
    refuse_properly(app, refused, nowhere)
    app.add_middleware(Door, keys=state.keys, sessions=state.sessions, host=settings.host)
    return app


def follow(app: FastAPI, rules: Rules) -> None:
    """Let pages and API go by these rules from now on."""
    state = app.state
    state.slos, state.alerts, state.owners, state.refused = rules.slos, rules.alerts, rules.owners, rules.refused
    state.maintenance, state.zones = rules.maintenance, rules.zones


def own_version() -> str:
    """The installed version; "0" in a checkout that is not installed."""
    try:
        return version("spanledger")
    except PackageNotFoundError:
        return "0"
