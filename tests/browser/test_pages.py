"""Each page in a real browser: nothing is refused, nothing is fetched elsewhere, nothing overflows."""

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import BEST_OF, Site, in_shape, visit
from tests.stores import a_run_id

pytestmark = pytest.mark.slow

PATHS = ("/", "/runs", "/cost", "/prices", "/findings", "/slos", "/alerts", "/quality", "/settings")
DETAILS = {
    "run-loop": "/runs/{findings > 0 AND wasted_pusd > 0}",
    "run-agents": "/runs/{len(agents) > 0}",
    "run-stuck": "/runs/{status = 'stuck'}",
    "run-derived": "/runs/{derived_tool_calls > 0}",
    "run-hostile": "/runs/{agent LIKE 'an-agent%'}",
    "run-large": "/runs/{agent = 'large-run'}",
    "slo": "/slos/run-success",
    "prices-preview": "/prices?preview=1&from=2026-11-12",
}
SCREENS = [(width, theme) for width in (1440, 390) for theme in ("light", "dark")]


@pytest.mark.parametrize("data", ["demo", "empty"])
@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_pages(browser: Browser, sites: dict[str, Site], width: int, theme: str, data: str) -> None:
    """Every page draws at both sizes and in both themes without an error, a foreign request or a sideways scroll."""
    site = sites[data]
    visitor = visit(browser, site, width, theme)
    named = {path.strip("/") or "overview": path for path in PATHS}
    if data == "demo":
        named |= {name: path_of(site, path) for name, path in DETAILS.items()}
    for name, path in named.items():
        in_shape(visitor, path, f"{name}-{data}-{width}-{theme}")
    visitor.page.context.close()


def path_of(site: Site, path: str) -> str:
    """The address with the condition in braces replaced by the id of a run that meets it."""
    before, brace, rest = path.partition("{")
    return before + (a_run_id(site.store, rest.rstrip("}")) if brace else "")


def painted_ms(page: Page) -> float:
    """When the largest part of an open page was painted, from the start of the navigation."""
    script = (
        "new Promise((done) => new PerformanceObserver((list) => done(list.getEntries().at(-1).startTime))"
        ".observe({type: 'largest-contentful-paint', buffered: true}))"
    )
    return float(page.evaluate(script))


def test_largest_paint(browser: Browser, sites: dict[str, Site]) -> None:
    """With a warm cache the overview and the runs have painted their largest part within a second."""
    visitor = visit(browser, sites["demo"])
    for path in ("/", "/runs", "/cost"):
        visitor.open(path)
        assert min(painted_ms(visitor.open(path)) for _ in range(BEST_OF)) < 1000, path
    visitor.page.context.close()
