"""Who may speak to the server: holders of the key, or, where there is none, programs on this machine."""

from __future__ import annotations

import ipaddress
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from agent_kernel.server.errors import error_response

OPEN_PATHS = frozenset({"/healthz"})
"""Answered without a key: says only that the server is up."""


class Guard:
    """Middleware in front of everything.

    With a key: the bearer token must be that key, compared in constant time. Without one the server listens
    on loopback only, and the danger left is a web page in this machine's browser: one that reaches us under
    a name of its own (DNS rebinding) has a foreign `Host`, one that posts across origins a foreign `Origin`.
    """

    def __init__(self, app: ASGIApp, *, api_key: str | None) -> None:
        self._app = app
        self._key = None if api_key is None else api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] in ("http", "websocket") and scope["path"] not in OPEN_PATHS:
            headers = Headers(scope=scope)
            if self._key is not None and not self._has_key(headers):
                refusal = error_response(
                    401,
                    "No API key, or a wrong one: send the server's key as 'Authorization: Bearer <key>'.",
                    code="invalid_api_key",
                    headers={"WWW-Authenticate": "Bearer"},
                )
                await refusal(scope, receive, send)
                return
            if self._key is None and not _is_local(headers):
                refusal = error_response(
                    403,
                    "Without a key this server answers only requests addressed to localhost, and no web"
                    " pages. Start it with a key (AGENT_KERNEL_API_KEY) to use it under another name.",
                    code="forbidden_host",
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip().encode("latin-1")
        return scheme.lower() == "bearer" and secrets.compare_digest(given, self._key or b"")


def _is_local(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host(origin)):
        return False
    return is_loopback(_host("//" + headers.get("host", "")))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or a loopback address; any other name or nonsense is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
