"""/login: a person shows the admin token once; a signed cookie reads from then on."""

from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from collector.errors import Forbidden, Unauthenticated
from dashboards.door import COOKIE, SESSION_S
from dashboards.pages.assets import address

router = APIRouter(include_in_schema=False)

MAX_FORM_BYTES = 4096

FORM = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · spanledger</title>
<link rel="stylesheet" href="{tokens}"><link rel="stylesheet" href="{style}"></head>
<body><main id="content">
<h1>spanledger</h1>
<p>{message}</p>
<form method="post" action="/login">
<input type="hidden" name="next" value="{next}">
<label for="token">Admin token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
</main></body></html>"""


@router.get("/login")
def show_form(request: Request) -> Response:
    """The form."""
    return _form(request.query_params.get("next", "/"), "This server asks for its admin token.")


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Exchange the token for a session."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            return _form("/", "That was too long for a token.", 400)
    fields = parse_qs(body.decode("utf-8", "replace"))
    where, token = fields.get("next", ["/"])[0], fields.get("token", [""])[0]
    try:
        request.app.state.keys.require(token.strip().encode(), "operate")
    except (Unauthenticated, Forbidden):
        return _form(where, "This is not the token. It is what SPANLEDGER_ADMIN_TOKEN was set to.", 401)
    answer = RedirectResponse(where if _is_local(where) else "/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, request.app.state.sessions.open(), max_age=SESSION_S, httponly=True, samesite="strict", secure=secure
    )
    return answer


def _form(where: str, message: str, status: int = 200) -> Response:
    values = {"next": escape(where), "message": escape(message), "tokens": address("tokens.css")}
    return HTMLResponse(FORM.format(style=address("app.css"), **values), status, {"Cache-Control": "no-store"})


def _is_local(where: str) -> bool:
    return where.startswith("/") and not where.startswith(("//", "/\\")) and where.isprintable()
