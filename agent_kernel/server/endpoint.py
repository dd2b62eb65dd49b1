"""One row of the table of endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint. `body` and `result` name schemas of the OpenAPI document (see `openapi`)."""

    method: str
    path: str
    handler: Handler
    result: str = "object"
    body: str | None = None
    query: tuple[str, ...] = ()
