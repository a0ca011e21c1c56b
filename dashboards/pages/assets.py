"""Scripts, styles and Plotly, served from this host alone: compressed once, kept for good by the browser."""

import gzip
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

STATIC = Path(__file__).parent.parent / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FILES = {path.name: path for path in sorted(STATIC.iterdir()) if path.suffix in TYPES}
VERSION = blake2b(b"".join(path.read_bytes() for path in FILES.values()), digest_size=6).hexdigest()
PLOTLY = f"plotly-{version('plotly')}.min.js"

router = APIRouter(include_in_schema=False)


def address(name: str) -> str:
    """Where a page finds the file `name`; changes when any file does."""
    return f"/static/{VERSION}/{name}"


@router.get("/static/{version}/{name}")
def asset(request: Request, version: str, name: str) -> Response:
    """One file; an address of another version is answered too, but not to be kept."""
    path = _plotly() if name == PLOTLY else FILES.get(name)
    if path is None:
        raise HTTPException(404, f"no such file: {name}")
    kept = "public, max-age=31536000, immutable" if version == VERSION else "no-cache"
    headers = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(_packed(path), media_type=TYPES[path.suffix], headers=headers | {"Content-Encoding": "gzip"})
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=headers)


@cache
def _packed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 6)


@cache
def _plotly() -> Path:
    """The script inside the installed package, found without importing the package (that takes a second)."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise HTTPException(404, "the plotly package is not installed: charts cannot be drawn")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"
