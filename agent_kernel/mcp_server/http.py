"""The MCP server over streamable HTTP, with the API's keys.

Each request is checked by the API's own guard, and a tool sees only the runtime of the key that its request
brought. A session of the older protocols belongs to the key that opened it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from agent_kernel.keys import KeyLimits
from agent_kernel.mcp_server.callers import Call
from agent_kernel.mcp_server.server import sandbox_server
from agent_kernel.runtime.base import Runtime, ServedRuntime
from agent_kernel.server.auth import Authenticator, Guard, caller_of
from agent_kernel.server.errors import error_response
from agent_kernel.server.logs import KEY_NAME

PATH = "/mcp"

MOST_SESSIONS = 500
"""Open sessions of the older protocols."""


class KeyHolders:
    """The callers of a server with keys: each request brings its own. Containers end by their own expiry."""

    def runtime(self, call: Call) -> Runtime:
        """See `Callers`."""
        request = call.request_context.request
        assert request is not None  # noqa: S101 (over HTTP every call has one)
        return caller_of(request.scope).runtime

    def created(self, container_id: str) -> None:
        """Do nothing: there is no session to which it belongs."""

    def deleted(self, container_id: str) -> None:
        """Do nothing."""


class Ownership:
    """Middleware that refuses requests of foreign web pages, and names the key's holder to the package.

    The package keeps sessions and answers to questions apart by that name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and _netloc(origin) != headers.get("host", "").lower():
                await _FOREIGN(scope, receive, send)
                return
            token = AccessToken(token="", client_id=f"key:{KEY_NAME.get()}", scopes=[])
            scope["user"] = AuthenticatedUser(token)
        await self._app(scope, receive, send)


_FOREIGN = error_response(403, "This server answers no web pages of other origins.", code="forbidden_origin")


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def create_app(
    runtime: ServedRuntime,
    *,
    api_key: str | None,
    limits: KeyLimits = KeyLimits(),  # noqa: B008 (frozen)
) -> Starlette:
    """Create the application. It owns `runtime`; keys and addresses are as in `server.app.create_app`.

    Raises `ValueError` for an empty `api_key`.
    """
    if api_key is not None and not api_key.strip():
        raise ValueError("api_key must not be empty. Use None for no key.")
    server = sandbox_server(KeyHolders())
    # The guard below has checked host and origin, also for addresses other than loopback.
    checked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    inner = server.streamable_http_app(
        streamable_http_path=PATH, max_sessions=MOST_SESSIONS, transport_security=checked
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        await runtime.start()
        try:
            async with server.session_manager.run():
                yield
        finally:
            await runtime.aclose()

    doorkeeper = Authenticator(runtime, api_key, limits)
    app = Starlette(
        routes=inner.routes,
        middleware=[
            Middleware(Guard, doorkeeper=doorkeeper),
            Middleware(Ownership),
            Middleware(AuthContextMiddleware),
        ],
        lifespan=lifespan,
    )
    app.state.doorkeeper = doorkeeper
    return app
