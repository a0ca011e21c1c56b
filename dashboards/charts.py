"""Figures as plain Plotly JSON, made from finished numbers. No queries here, and no plotly package.

Colours are names of the theme's tokens (`--ok`); the browser puts the values in, so one figure serves
light and dark. `customdata` holds where a click on a mark leads.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboards import format

Figure = dict[str, Any]

STATUS_COLOURS = {
    "ok": "--series-3",
    "error": "--error",
    "stuck": "--series-5",
    "running": "--series-6",
    "incomplete": "--series-8",
}
STATUS_PATTERNS = {"error": "/", "stuck": "x"}  # beside the colour, for those who cannot tell it
SERIES = tuple(f"--series-{n}" for n in range(1, 9))
REST = "other"


def bars(x: Sequence[str], series: Mapping[str, Sequence[float]], colours: Mapping[str, str], **options: Any) -> Figure:
    """Stacked bars: one stack an `x`, one part a series. `links`: an address for each x; `money`: the axis is USD."""
    links, hover = options.get("links"), "%{y:$.4~f}" if options.get("money") else "%{y:,}"
    data = [
        {
            "type": "bar",
            "name": name,
            "meta": colours[name],
            "x": list(x),
            "y": list(values),
            "customdata": links,
            "marker": {"color": colours[name], "line": {"width": 0}, "pattern": _pattern(name)},
            "hovertemplate": f"{hover} {_plain(name)}<extra></extra>",
        }
        for name, values in series.items()
        if any(values)
    ]
    layout = _layout(money=bool(options.get("money")))
    layout |= {"barmode": "stack", "bargap": 0.25}
    return {"data": data, "layout": layout}


def lines(x: Sequence[Any], series: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> Figure:
    """Money over time; the first series is filled, the others are dotted for comparison."""
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "meta": colours[name],
            "x": list(x)[: len(values)],
            "y": list(values),
            "line": {
                "color": colours[name],
                "width": 2 if first else 1.5,
                "shape": "hv",
                "dash": "solid" if first else "dot",
            },
            "hovertemplate": f"%{{y:$.4~f}} {_plain(name)}<extra></extra>",
        }
        for first, (name, values) in zip([True] + [False] * len(series), series.items(), strict=False)
    ]
    return {"data": data, "layout": _layout(money=True)}


def shares(x: Sequence[str], series: Mapping[str, Sequence[float | None]], colours: Mapping[str, str]) -> Figure:
    """Shares of 1 over time as lines; a step without a value leaves a gap bridged, a lone value is a
    dot."""
    data = [
        {
            "type": "scatter",
            "mode": "lines" if sum(v is not None for v in values) > 1 else "markers",
            "name": name,
            "meta": colours[name],
            "x": list(x),
            "y": list(values),
            "connectgaps": True,
            "line": {"color": colours[name], "width": 2},
            "hovertemplate": f"%{{y:.0%}} {_plain(name)}<extra></extra>",
        }
        for name, values in series.items()
    ]
    layout = _layout(money=False)
    layout["yaxis"] |= {"tickformat": ".0%"}
    return {"data": data, "layout": layout}


def ranked(names: Sequence[str], rest: str = REST) -> dict[str, str]:
    """A colour for each series in order; what comes after the eighth shares grey."""
    return {name: SERIES[-1] if name == rest else SERIES[min(i, len(SERIES) - 1)] for i, name in enumerate(names)}


def _pattern(name: str) -> dict[str, Any]:
    shape = STATUS_PATTERNS.get(name)
    return {"shape": shape, "size": 5, "solidity": 0.35, "fgcolor": "--surface", "fillmode": "overlay"} if shape else {}


def _plain(name: str) -> str:
    """A name that Plotly neither formats nor reads as a template or markup."""
    return format.inert(name).replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")[:60]


def _layout(*, money: bool) -> dict[str, Any]:
    axis = {"gridcolor": "--line", "zeroline": False, "fixedrange": True, "automargin": True}
    return {
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": axis | {"showgrid": False, "linecolor": "--line", "type": "category", "nticks": 8, "tickangle": 0},
        "yaxis": axis
        | {"rangemode": "tozero", "nticks": 5}
        | ({"tickprefix": "$", "tickformat": ",~g"} if money else {}),
        "showlegend": False,
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "--surface", "bordercolor": "--line", "font": {"color": "--text"}},
        "dragmode": False,
    }
