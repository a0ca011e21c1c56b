"""The design tokens: legible in both themes, complete, and used by name only."""

import json
import re

import pytest

from dashboards import charts
from dashboards.pages.assets import STATIC

TOKENS = dict(re.findall(r"(--[\w-]+):\s*(.+?);", (STATIC / "tokens.css").read_text()))
COLOURS = {
    name: dict(zip(("light", "dark"), pair, strict=True))
    for name, value in TOKENS.items()
    if (pair := re.findall(r"#[0-9a-f]{6}", value))
}
WORDS = ("--text", "--muted", "--accent", "--ok", "--error", "--stuck", "--running", "--incomplete", "--denied")
MARKS = ("--agent", "--llm", "--tool", "--plan", "--policy", "--memory", "--other", "--line-strong", *charts.SERIES)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str, theme: str) -> float:
    """Contrast ratio of two tokens (WCAG 2.2, 1.4.3)."""
    high, low = sorted((luminance(COLOURS[name][theme]) for name in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_are_legible(theme: str) -> None:
    """Text colours reach 4.5 to 1 on every ground they stand on."""
    grounds = {name: ["--bg", "--surface", "--raised"] for name in ("--text", "--muted")}
    grounds |= {name: ["--bg", "--surface"] for name in WORDS[2:]}
    grounds |= {name: [*grounds[name], f"{name}-soft"] for name in WORDS[2:]}
    low = {
        (name, ground): round(contrast(name, ground, theme), 2)
        for name, on in grounds.items()
        for ground in on
        if contrast(name, ground, theme) < 4.5
    }

    assert low == {}
    assert contrast("--on-accent", "--accent", theme) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_are_visible(theme: str) -> None:
    """Icons, bars, lines and borders of fields reach 3 to 1 on their ground."""
    low = {name: contrast(name, "--surface", theme) for name in MARKS if contrast(name, "--surface", theme) < 3}

    assert low == {}


def test_every_named_token_exists() -> None:
    """Style sheets, scripts and figures name only tokens that are defined, and no colour of their own."""
    sheet, script = (STATIC / "app.css").read_text(), (STATIC / "charts.js").read_text()
    figures = json.dumps(
        [
            charts.bars(["a"], {"ok": [1], "error": [1]}, charts.STATUS_COLOURS),
            charts.lines(["a"], {"today": [1.0]}, {"today": "--series-1"}),
            charts.shares(["a"], {"x": [None, 0.5]}, {"x": "--series-2"}),
        ]
    )
    named = set(re.findall(r"var\((--[\w-]+)\)", sheet)) | set(re.findall(r'"(--[\w-]+)"', figures + script))

    assert named <= set(TOKENS) | {"--depth"}
    rules = [rule for rule in sheet.splitlines() if "light-dark(" not in rule]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", "\n".join(rules))


def test_no_status_by_colour_alone() -> None:
    """Every status and severity has a sign of its own, and failures are patterned in charts."""
    sprite = (STATIC.parent / "templates" / "sprite.html").read_text()
    shapes = dict(re.findall(r'<symbol id="i-(\w+)"[^>]*>(.*?)</symbol>', sprite))
    signs = [shapes[s] for s in ("ok", "error", "stuck", "running", "incomplete", "denied", "high", "medium", "low")]

    assert len(set(signs)) == len(signs)
    assert {"error", "stuck"} <= set(charts.STATUS_PATTERNS)


def test_figures_treat_names_as_text() -> None:
    """A name in a figure is neither markup nor a template of the chart library."""
    hostile = "<b>%{x}</b>\x1b[31m\u202e"
    (trace,) = charts.bars(["a"], {hostile: [1]}, {hostile: "--ok"})["data"]

    assert "<b>" not in trace["hovertemplate"]
    assert trace["hovertemplate"].count("%{") == 1
    assert not set("\x1b\u202e") & set(trace["hovertemplate"])


def test_no_chart_without_numbers() -> None:
    """Series of zeros are left out: an empty figure has no data, and the page says so."""
    assert charts.bars(["a"], {"ok": [0]}, charts.STATUS_COLOURS)["data"] == []
