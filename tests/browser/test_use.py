"""Using the pages: by keyboard, in one's own theme, live, and down to one span."""

import re
import time

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import BEST_OF, Site, visit
from tests.stores import DEMO_NOW_NS, a_run_id

pytestmark = pytest.mark.slow


def test_keyboard(browser: Browser, sites: dict[str, Site]) -> None:
    """`/` searches, j and k move, Enter opens, g and a letter go, ? helps and Escape leaves."""
    visitor = visit(browser, sites["demo"])
    page = visitor.open("/runs")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    second = page.locator("tr[data-key]").nth(1)
    expect(second).to_have_class(re.compile("here"))
    run_id = second.get_attribute("data-key")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{run_id}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url("**/cost")
    page.wait_for_load_state()
    assert visitor.complaints == []
    page.context.close()


def test_the_first_tab_skips_to_the_content(browser: Browser, sites: dict[str, Site]) -> None:
    """The first press of Tab shows a link past the navigation."""
    page = visit(browser, sites["demo"]).open("/")
    page.keyboard.press("Tab")

    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.context.close()


def test_theme_is_kept(browser: Browser, sites: dict[str, Site]) -> None:
    """The chosen theme beats the system's and outlives the page; charts follow."""
    visitor = visit(browser, sites["demo"], theme="light")
    page = visitor.open("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Switch between light and dark").click()
    dark = page.evaluate(ground)
    page = visitor.open("/runs")

    assert light != dark
    assert page.evaluate(ground) == dark
    assert visitor.complaints == []
    page.context.close()


def test_new_runs_appear(browser: Browser, sites: dict[str, Site]) -> None:
    """A run that arrives is on the open page within seconds, without a reload, unless live is off."""
    site = sites["demo"]
    visitor = visit(browser, site, live=True)
    page = visitor.open("/runs")
    before = page.locator("tr[data-key]").first.get_attribute("data-key")
    page.evaluate("window.mine = 1")
    with site.store.transaction() as c:
        c.execute(
            "INSERT INTO runs BY NAME (SELECT * REPLACE ('feedfacefeedfacefeedfacefeedface' AS run_id, "
            f"'newcomer' AS agent, {DEMO_NOW_NS - 10**9} AS started_ns) FROM runs WHERE run_id = ?)",
            [before],
        )
    try:
        expect(page.get_by_role("link", name="newcomer")).to_be_visible()
        assert page.evaluate("window.mine") == 1
        page.get_by_role("button", name="Live").click()
        expect(page.get_by_role("button", name="Paused")).to_be_visible()
    finally:
        with site.store.transaction() as c:
            c.execute("DELETE FROM runs WHERE agent = 'newcomer'")
    assert visitor.complaints == []
    page.context.close()


def test_down_to_one_span(browser: Browser, sites: dict[str, Site]) -> None:
    """A finding leads to its evidence: the span's panel opens, its row is marked, the address says which."""
    site = sites["demo"]
    visitor = visit(browser, site)
    page = visitor.open(f"/runs/{a_run_id(site.store, 'findings > 0 AND wasted_pusd > 0')}")
    evidence = page.locator("#findings a[data-span]").nth(2)
    span = evidence.get_attribute("data-span")
    evidence.click()
    panel = page.get_by_role("complementary", name="Chosen span")
    expect(panel).to_contain_text("evidence of a finding")
    expect(page.locator(f"#s-{span}")).to_have_class(re.compile("here"))
    expect(page).to_have_url(re.compile(f"span={span}"))
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    page.reload()
    assert visitor.complaints == []
    page.context.close()


def test_folding(browser: Browser, sites: dict[str, Site]) -> None:
    """Folding a sub-agent hides what lies below it and nothing else; folding the run hides all."""
    site = sites["demo"]
    page = visit(browser, site).open(f"/runs/{a_run_id(site.store, 'len(agents) = 2')}")
    rows = page.locator(".waterfall .span[data-key]:visible")
    count = rows.count()
    page.locator(".waterfall .span[aria-level='2'] button.fold").first.click()
    assert rows.count() == count - 4
    page.locator(".waterfall .span[aria-level='1'] button.fold").click()
    assert rows.count() == 1
    page.locator(".waterfall .span[aria-level='1'] button.fold").click()
    assert rows.count() == count - 4
    page.context.close()


def test_large_runs_stay_fast(browser: Browser, sites: dict[str, Site]) -> None:
    """A run of 2,000 spans can be used within two seconds, and scrolling through it does not stop the page."""
    site = sites["demo"]
    run_id = a_run_id(site.store, "agent = 'large-run'")
    visitor = visit(browser, site)
    page = visitor.page
    took_s = []
    for _ in range(BEST_OF):
        visitor.open("/")
        begun = time.monotonic()
        page.goto(f"{site.url}/runs/{run_id}")
        page.locator(".waterfall .span[data-key]").nth(400).scroll_into_view_if_needed()
        took_s.append(time.monotonic() - begun)
    assert min(took_s) < 2
    assert visitor.complaints == []
    page.context.close()
