"""A real Chromium over real pages."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from analytics.pricing.book import PriceBook
from collector.settings import Settings
from collector.store import Store
from dashboards.app import Rules, create_app
from tests.conftest import Program
from tests.needed import ROOT
from tests.stores import DEMO_NOW_NS, demo_alerting, demo_book, demo_store, empty_store

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)
expect.set_options(timeout=30_000)
BEST_OF = 3
"""Times are the least of so many: what the page takes, not what else the machine does."""
PICTURES = ROOT / "test-artifacts" / "pages"


@dataclass
class Site:
    """Served pages: their address and their store."""

    url: str
    store: Store


@dataclass
class Visitor:
    """A browser page that notes what must not happen: console errors, and requests to another host."""

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self.site.url, "data:", "blob:")):
            self.complaints.append(f"request to {url}")

    def open(self, path: str) -> Page:
        """Go there and wait until all charts are drawn."""
        self.page.goto(self.site.url + path)
        for chart in self.page.locator("[data-chart]").all():
            chart.scroll_into_view_if_needed()
            expect(chart.locator(".main-svg").first).to_be_attached()
        self.page.evaluate("scrollTo(0, 0)")
        return self.page


@pytest.fixture(scope="module")
def browser(program: Program) -> Iterator[Browser]:
    """Chromium of the system, headless, asking nobody but us. Closed with its module: while Playwright runs, no test
    of its thread can run a loop of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program("chromium")), args=list(QUIET))
        yield browser
        browser.close()


@contextmanager
def served(store: Store, rules: Rules, book: PriceBook, now_ns: int = DEMO_NOW_NS) -> Iterator[Site]:
    """The pages over a store, at a time that stands still."""
    app = create_app(store, Settings(), rules=rules, book=lambda: book, clock=lambda: now_ns)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Site(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", store)
    server.should_exit = True
    thread.join()
    store.close()


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """The pages over the demo store and over an empty one."""
    demo = demo_store(tmp_path_factory.mktemp("demo") / "spanledger.duckdb", large_run_spans=2000)
    empty = empty_store(tmp_path_factory.mktemp("empty") / "spanledger.duckdb")
    rules = Rules(*demo_alerting(demo))
    with served(demo, rules, demo_book()) as full, served(empty, Rules(), PriceBook.seeded()) as nothing:
        yield {"demo": full, "empty": nothing}


def visit(browser: Browser, site: Site, width: int = 1440, theme: str = "light", *, live: bool = False) -> Visitor:
    """A new visitor with an empty cache and no memory. Unless `live`, no part of a page is replaced under its hands."""
    size: ViewportSize = {"width": width, "height": 900}
    context = browser.new_context(viewport=size, color_scheme="dark" if theme == "dark" else "light")
    context.set_default_timeout(30_000)
    if not live:
        context.add_init_script("window.setInterval = () => 0")
    return Visitor(context.new_page(), site)


def picture(page: Page, name: str) -> Path:
    """Keep what the page looks like, as a whole."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path


def in_shape(visitor: Visitor, path: str, name: str) -> None:
    """Hold that a page draws without a complaint and without a sideways scroll, and keep what it looks like."""
    page = visitor.open(path)
    picture(page, name)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{name} is {wide} px too wide"
    assert visitor.complaints == [], name
