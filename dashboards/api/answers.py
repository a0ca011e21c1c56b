"""How the API answers: JSON with an ETag, and problem details (RFC 9457) that name the field and the remedy."""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from analytics.reports.values import BadQuestion

MOVING = ("as_of", "lag")  # they change while nothing else does
TITLES = {
    400: "The question cannot be answered as asked",
    401: "A token is required",
    403: "This is not allowed",
    404: "Nothing is there",
    405: "The method is not allowed here",
    421: "This host name is not served",
    503: "Not ready",
}


def answer(request: Request, data: Mapping[str, Any]) -> Response:
    """The data as JSON; 304 where the caller has the same already (how current it is left aside)."""
    settled = {name: value for name, value in data.items() if name not in MOVING}
    tag = f'W/"{blake2b(orjson.dumps(settled), digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(orjson.dumps(data), media_type="application/json", headers=headers)


def problem(
    status: int, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Problem details. `detail` says what is wrong and what to do; `field` is the parameter at fault."""
    title = TITLES.get(status, "The request failed")
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if field:
        body["field"] = field
    return Response(orjson.dumps(body), status, headers, media_type="application/problem+json")


def refuse_properly(
    app: FastAPI,
    page: Callable[[Request, BadQuestion], Response],
    nowhere: Callable[[Request], Response],
) -> None:
    """Let every refusal of `app` be problem details; of a bad address of a page what `page` makes of it, and of an
    address that is none what `nowhere` shows a browser."""

    @app.exception_handler(BadQuestion)
    def bad_question(request: Request, error: BadQuestion) -> Response:
        if not request.url.path.startswith("/api/"):
            return page(request, error)
        return problem(400, str(error), field=error.field)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = str(first["loc"][-1])
        if first["type"] == "extra_forbidden":
            return problem(400, f"{field} is not a parameter of this resource: see /openapi.json", field=field)
        return problem(400, f"{field}: {first['msg'][:1].lower()}{first['msg'][1:]}", field=field)

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> Response:
        is_browser = "text/html" in request.headers.get("accept", "")
        if error.status_code == 404 and is_browser and not request.url.path.startswith("/api/"):
            return nowhere(request)
        detail = error.detail if error.status_code != 404 or error.detail != "Not Found" else "see /openapi.json"
        return problem(error.status_code, detail, headers=error.headers)
