"""How fast pages are answered and painted by a running server, with pictures of each to look at.

    python -m bench.pages http://127.0.0.1:8080 --pictures /tmp/pages

Every page is asked for twenty times (server time: median and p95), then opened in a real Chromium at desktop and phone
width, light and dark, warm: largest contentful paint, requests to other hosts, console errors, and whether it is wider
than the screen. Chromium is the system's own; playwright comes with the development dependencies.
"""

import argparse
import statistics
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

PAGES = ("/", "/runs", "/cost", "/prices", "/findings", "/slos", "/alerts", "/quality", "/settings")
TIMES = 20
REST_MS = 2000
PAINTED = """() => new Promise(resolve => new PerformanceObserver(
    list => resolve(list.getEntries().at(-1).startTime)).observe({type: 'largest-contentful-paint', buffered: true}))"""


def server_ms(url: str) -> tuple[float, float]:
    """Median and p95 of the time until the whole page is there."""
    took = []
    for _ in range(TIMES):
        began = time.monotonic()
        with urllib.request.urlopen(url) as answer:
            answer.read()
        took.append((time.monotonic() - began) * 1e3)
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


def look(browser: Browser, base: str, path: str, width: int, theme: str, picture: Path) -> tuple[float, list[str]]:
    """Largest contentful paint in ms, and what is wrong with the page."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    wrong: list[str] = []
    try:
        page = context.new_page()
        page.goto(base + path)
        page.wait_for_timeout(REST_MS)  # else the next page waits for the charts of this one
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: None if r.url.startswith((base, "data:")) else wrong.append(r.url))
        page.goto(base + path)
        painted = page.evaluate(PAINTED)
        page.wait_for_timeout(800)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wrong.append("wider than the screen")
        page.screenshot(path=picture, full_page=True)
    finally:
        context.close()
    return float(painted), wrong


def main() -> None:
    """Print a line a page, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="address of the pages")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    asked = parser.parse_args()
    asked.pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.chromium, args=["--no-sandbox"])
        for path in PAGES:
            median, p95 = server_ms(asked.base + path)
            painted, wrong = [], []
            for width in (1440, 390):
                for theme in ("light", "dark"):
                    picture = asked.pictures / f"{path.strip('/') or 'overview'}-{width}-{theme}.png"
                    ms, found = look(browser, asked.base, path, width, theme, picture)
                    painted.append(ms)
                    wrong += found
            times = f"server {median:.0f} ms, p95 {p95:.0f} ms; painted after {max(painted):.0f} ms"
            print(f"{path:<10} {times}; {wrong or 'clean'}")
        browser.close()


if __name__ == "__main__":
    main()
