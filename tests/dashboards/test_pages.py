"""Every page, full and empty: it answers, is inert, accessible, and each figure can be followed."""

import csv
import io
import json
import re
from collections import Counter
from itertools import pairwise

import pytest
from starlette.testclient import TestClient

from collector.store import Store
from dashboards.pages.frame import FIRST_SPAN
from tests.markup import Markup
from tests.stores import HOSTILE, a_run_id

PATHS = ("/", "/runs", "/cost", "/prices", "/findings", "/slos", "/alerts", "/quality", "/settings")
LINKED = re.compile(r"^/(runs|cost|prices|findings|slos|alerts|quality|settings)?(\?|$|/)")


def run_paths(store: Store) -> list[str]:
    """A run of every kind."""
    kinds = (
        *("findings > 0 AND wasted_pusd > 0", "len(agents) > 0", "derived_tool_calls > 0", "status = 'stuck'"),
        *("status = 'running'", "unpriced_calls > 0", "quarantined > 0", "agent LIKE '<script%'"),
    )
    return [f"/runs/{a_run_id(store, kind)}" for kind in kinds]


def test_pages_answer(pages: TestClient, store: Store) -> None:
    """Every page and a run of every kind is a whole HTML document with a heading."""
    for path in (*PATHS, *run_paths(store), "/slos/run-success"):
        answer = pages.get(path)
        assert answer.status_code == 200, path
        markup = Markup(answer.text)
        assert markup.open == [], path
        assert len(markup.all("h1")) == 1, path


@pytest.mark.parametrize("path", PATHS)
def test_empty_pages_tell_what_to_do(empty_pages: TestClient, path: str) -> None:
    """Without any data every page answers and, but for the settings, names the next step."""
    answer = empty_pages.get(path)

    assert answer.status_code == 200
    hints = (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "slos/run-success.yaml",
        "alerts.toml",
        "first span",
        "Every run is checked",
    )
    assert path == "/settings" or any(hint in answer.text for hint in hints)


def test_emitters_text_is_inert(pages: TestClient, store: Store) -> None:
    """No page holds an emitter's markup, control characters or marks that reorder text; the name is still shown."""
    shown = ""
    for path in (*PATHS, "/runs?period=30d", "/cost?period=30d&group_by=agent", *run_paths(store)):
        html = pages.get(path).text
        assert "<script>alert" not in html, path
        assert "<b>key" not in html, path
        markup = Markup(html)
        visible = [text for _, text in markup.texts]
        visible += [attrs.get(name, "") for _, attrs in markup.elements for name in ("title", "aria-label")]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", "".join(visible)), path
        shown += html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown


def test_csv_runs_no_formula(pages: TestClient) -> None:
    """In a CSV a name that is a formula begins with an apostrophe, and numbers stay numbers."""
    answer = pages.get("/cost?period=30d&group_by=agent&csv=costs")
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    assert answer.headers["content-disposition"] == 'attachment; filename="spanledger-costs.csv"'
    agents = {row["agent"] for row in rows}
    assert "'" + HOSTILE[1] in agents
    assert HOSTILE[1] not in agents
    assert all(re.fullmatch(r"\d+(\.\d+)?", row["cost_usd"]) for row in rows if row["cost_usd"])


def test_nothing_inline_and_nothing_foreign(pages: TestClient, store: Store) -> None:
    """No inline style, script or handler, no address of another host: the content policy has nothing to refuse."""
    for path in (*PATHS, *run_paths(store)):
        answer = pages.get(path)
        assert "'unsafe" not in answer.headers["content-security-policy"]
        for tag, attrs in Markup(answer.text).elements:
            assert "style" not in attrs, (path, tag)
            assert tag != "style", path
            assert not [name for name in attrs if name.startswith("on")], (path, attrs)
            assert not attrs.get("src", "").startswith(("http", "//")), (path, attrs)
            assert tag != "script" or "src" in attrs or attrs.get("type") == "application/json", (path, attrs)
            assert tag != "link" or attrs["href"].startswith("/static/"), (path, attrs)


def test_every_chart_has_its_table_and_csv(pages: TestClient, store: Store) -> None:
    """Every chart stands with a table of the same numbers and a CSV that answers."""
    for path in ("/", "/cost", "/quality", "/slos/run-success", *run_paths(store)[:2]):
        html = pages.get(path).text
        charts = [part for part in html.split("<figure")[1:] if "data-chart" in part]
        assert charts, path
        for chart in charts:
            figure = chart.split("</figure>")[0]
            assert "<table>" in figure, path
            link = next(a["href"] for a in Markup(figure).all("a") if "csv=" in a["href"])
            answer = pages.get(link.replace("&amp;", "&"))
            assert answer.headers["content-type"].startswith("text/csv"), link
            assert len(answer.text.splitlines()) > 1, link


@pytest.mark.slow
def test_figures_can_be_followed(pages: TestClient, store: Store) -> None:
    """Every link of every page leads somewhere."""
    seen = set()
    for path in (*PATHS, *run_paths(store)):
        for attrs in Markup(pages.get(path).text).all("a"):
            href = attrs["href"]
            if href.startswith(("#", "?")) or "/api/" in href or "csv=" in href or not LINKED.match(href):
                continue
            seen.add(href)
    assert len(seen) > 50
    kinds = {re.sub(r"[0-9a-f]{8,}|=[^&]*", "", href): href for href in seen}
    assert {href: pages.get(href).status_code for href in kinds.values()} == dict.fromkeys(kinds.values(), 200)


def test_accessible(pages: TestClient, empty_pages: TestClient, store: Store) -> None:
    """Ids are unique, headings do not skip a level, every control has a name, every table has headings."""
    for client, paths in ((pages, (*PATHS, *run_paths(store))), (empty_pages, PATHS)):
        for path in paths:
            html = client.get(path).text
            markup = Markup(html)
            doubled = [i for i, n in Counter(a["id"] for _, a in markup.elements if "id" in a).items() if n > 1]
            assert doubled == [], path
            levels = [int(tag[1]) for tag, _ in markup.elements if re.fullmatch("h[1-6]", tag)]
            content = html.split("<main")[1].split("</main>")[0]
            levels = [int(n) for n in re.findall(r"<h([1-6])", content)]
            assert levels[0] == 1, path
            assert all(b <= a + 1 for a, b in pairwise(levels)), (path, levels)
            for attrs in markup.all("input") + markup.all("select"):
                labelled = "aria-label" in attrs or attrs.get("type") in ("hidden", "date")
                assert labelled or attrs["name"] == "group_by", (path, attrs)
            for button in re.findall(r"<button[^>]*>.*?</button>", html, re.S):
                words = re.sub(r"<[^>]*>", "", button).strip()
                assert words or "aria-label" in button, (path, button)
            assert all("<th" in table for table in re.findall(r"<table.*?</table>", html, re.S)), path
            assert 'href="#content"' in html
            assert 'lang="en"' in html


def test_filters_live_in_the_address(pages: TestClient) -> None:
    """A filtered list shows only what was asked for, and the page shows what was asked for."""
    html = pages.get("/runs?status=error&period=30d").text
    cells = [text.strip() for tag, text in Markup(html.split("<tbody>")[1]).texts if text.strip() in ("ok", "error")]

    assert set(cells) == {"error"}
    assert '<option value="error" selected>' in html


def test_paging_reaches_every_run(pages: TestClient, store: Store) -> None:
    """Following the link to older runs shows each run once."""
    with store.cursor() as c:
        ((count,),) = c.execute("SELECT count(*) FROM runs").fetchall()
    path, seen = "/runs?period=30d", []
    while path:
        markup = Markup(pages.get(path).text)
        seen += [a["data-key"] for a in markup.all("tr") if "data-key" in a]
        path = next((a["href"] for a in markup.all("a") if a.get("rel") == "next"), "")
    assert len(seen) == count
    assert len(set(seen)) == count


def test_unpriced_is_never_zero(pages: TestClient, store: Store) -> None:
    """A run whose calls have no price says so; a partly priced one says how much of it is priced."""
    unpriced = pages.get(f"/runs/{a_run_id(store, 'cost_pusd IS NULL')}").text
    partly = pages.get(f"/runs/{a_run_id(store, 'unknown_calls > 0 AND priced_calls > 0')}").text

    assert '<em class="unpriced">unpriced</em>' in unpriced
    assert re.search(r"\d+ % of calls priced", partly)


def test_a_parent_that_never_came_is_shown(pages: TestClient, store: Store) -> None:
    """Children of a span that nobody sent stand under a row that says so."""
    html = pages.get("/runs/" + a_run_id(store, "status = 'stuck'")).text

    assert "parent has not arrived" in html


def test_derived_calls_are_marked(pages: TestClient, store: Store) -> None:
    """A tool call that was read from messages is in the waterfall, with the word."""
    html = pages.get(f"/runs/{a_run_id(store, 'derived_tool_calls > 0')}").text

    assert html.count(">derived</span>") == 3


def test_large_runs_come_in_parts(pages: TestClient, store: Store) -> None:
    """A run of 2,000 spans draws 500 rows and links to the others."""
    path = "/runs/" + a_run_id(store, "agent = 'large-run'")
    first, second = pages.get(path).text, pages.get(path + "?from=500").text

    assert first.count('class="span d') == 500
    assert "from=500" in first
    assert second.count('class="span d') == 500


def test_the_panel_tells_what_a_span_is(pages: TestClient, store: Store) -> None:
    """The panel of an evidence span names its tool, its finding and the spans with the same arguments."""
    with store.cursor() as c:
        query = "SELECT run_id, printf('%016x', span_ids[1]), subject FROM findings WHERE rule = 'loop' LIMIT 1"
        ((run_id, span_id, tool),) = c.execute(query).fetchall()
    panel = pages.get(f"/runs/{run_id}/panel/{span_id}").text

    assert tool in panel
    assert "evidence of a finding" in panel
    assert "spans have the same arguments" in panel
    assert pages.get(f"/runs/{run_id}?span={span_id}").text.count(panel.split("<dl")[1][:80]) == 1


def test_what_is_not_there(pages: TestClient) -> None:
    """An unknown run or SLO is a 404 page that says what to do; the name is inert."""
    for path in ("/runs/0123456789abcdef0123456789abcdef", "/runs/%3Cb%3E", "/slos/none"):
        answer = pages.get(path)
        assert answer.status_code == 404
        assert "There is no" in answer.text
        assert "<b>" not in answer.text.split("<main")[1]


def test_an_address_that_is_none(pages: TestClient) -> None:
    """A browser gets a page in the house style that leads on; a program, and every API path, gets problem details."""
    browser = {"accept": "text/html,application/xhtml+xml"}
    page = pages.get("/nonsense", headers=browser)

    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "page /nonsense" in page.text.split("<main")[1]
    assert 'href="/runs"' in page.text
    for path, headers in (("/nonsense", {}), ("/api/v1/nonsense", browser), ("/api/v1/runs/none", browser)):
        answer = pages.get(path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_broken_addresses_are_answered(pages: TestClient) -> None:
    """Nonsense in an address changes the default, or is refused; it never fails."""
    for query in ("period=x", "from=2026-99-99", "from=9&to=1", "group_by=nonsense", "group_by=", "from=-1", "step=x"):
        for path in ("/runs", "/cost", "/findings", "/quality"):
            assert pages.get(f"{path}?{query}").status_code in (200, 400), (path, query)
    assert pages.get("/runs?cursor=nonsense").status_code == 400


def test_scripts_and_styles_are_kept_for_good(pages: TestClient) -> None:
    """Every file of a page is served compressed, immutable under its versioned address; Plotly is one of them."""
    html = pages.get("/").text
    files = set(re.findall(r"/static/[^\"']+", html))

    assert any("plotly-" in name for name in files)
    for name in files:
        answer = pages.get(name)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
    assert pages.get("/static/x/none.js").status_code == 404


def test_the_first_span_can_be_sent_as_shown(empty_pages: TestClient) -> None:
    """The request that the empty page tells to send is valid JSON once the shell has filled it in."""
    body = FIRST_SPAN.split("-d '", 1)[1].rsplit("'", 1)[0]
    for shell, value in ((r"'\$\(openssl rand -hex 16\)'", "ab" * 16), (r"'\$\(openssl rand -hex 8\)'", "cd" * 8)):
        body = re.sub(shell, value, body)
    body = re.sub(r"'\$\(date \+%s\)(\d+)'", r"1795186800\1", body)
    (span,) = json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span["traceId"] == "ab" * 16
    assert int(span["startTimeUnixNano"]) < int(span["endTimeUnixNano"])


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("/runs?status=bad", "use ok"),
        ("/findings?severity=bad", "use high"),
        ("/runs?cursor=bad", "leave it out"),
        ("/alerts?state=bad", "use pending"),
    ],
)
def test_a_bad_address_is_answered_by_a_page(pages: TestClient, address: str, remedy: str) -> None:
    """What a page cannot understand it says as a page, with the remedy; the API says the same as a problem."""
    answer = pages.get(address)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert remedy in answer.text
    assert pages.get("/api/v1" + address).headers["content-type"] == "application/problem+json"
