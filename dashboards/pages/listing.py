"""A page that lists what a report lists: filters, period and place in the address, and all of it as CSV."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Request, Response

from analytics.reports.choices import choices
from dashboards.pages.frame import Table, period, respond


def listed(
    request: Request,
    name: str,
    ask: Callable[..., Any],
    filters: Sequence[str],
    columns: Sequence[str],
    **context: Any,
) -> Response:
    """The page `name` with one page of the items of `ask` that match the filters; `columns` are those of the CSV."""
    store, now_ns = request.app.state.store, request.app.state.clock()
    wanted = {key: request.query_params.get(key) or None for key in filters}
    when, cursor = period(request, now_ns), request.query_params.get("cursor")
    found = ask(store, now_ns, from_ns=when.from_ns, to_ns=when.to_ns, cursor=cursor, **wanted)
    return respond(
        request,
        f"{name}.html",
        {name: Table(name.capitalize(), {column: column for column in columns}, found["items"])},
        active=name,
        items=found["items"],
        next_cursor=found["next_cursor"],
        cursor=cursor,
        wanted=wanted,
        when=when,
        choices=choices(store),
        **context,
    )
