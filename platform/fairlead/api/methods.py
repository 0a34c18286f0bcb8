"""Which methods a path takes. The router knows only by being asked for each."""

import contextlib

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.types import Method
from litestar.utils import normalize_path

METHODS: tuple[Method, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def allowed_methods(api: Litestar, path: str) -> str:
    """The value of `Allow`."""
    found = []
    for method in METHODS:
        with contextlib.suppress(HTTPException):
            api.asgi_router.handle_routing(path=normalize_path(path), method=method)
            found.append(method)
    return ", ".join(found)
