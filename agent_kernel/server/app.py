"""Create the HTTP application that serves a runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from agent_kernel.keys import KeyLimits
from agent_kernel.runtime.base import ServedRuntime
from agent_kernel.server.auth import Authenticator, Guard
from agent_kernel.server.errors import HANDLERS
from agent_kernel.server.routes import ROUTES

UPLOAD_LIMIT = 512 << 20


def create_app(
    runtime: ServedRuntime,
    *,
    api_key: str | None,
    upload_limit: int = UPLOAD_LIMIT,
    limits: KeyLimits = KeyLimits(),  # noqa: B008 (frozen)
) -> Starlette:
    """Create the application. It owns `runtime` and closes it when the server stops.

    Clients send a key as bearer token: `api_key`, or one of `runtime.keys`. If `api_key` is None and no key
    was ever created, no key is needed, and only requests whose `Host` (and `Origin`, if present) is loopback
    are answered. An empty `api_key` raises `ValueError`: it would protect nothing. `limits` apply to each
    key, unless the key sets its own. An upload whose `Content-Length` is over `upload_limit` (bytes) is
    refused before it is read; the runtime checks its own limit while reading.
    """
    if api_key is not None and not api_key.strip():
        raise ValueError("api_key must not be empty. Use None for no key.")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        await runtime.start()
        try:
            yield
        finally:
            for task in app.state.running:
                task.cancel()
            # Each turn stores how far it got before it ends.
            await asyncio.gather(*app.state.running, return_exceptions=True)
            await runtime.aclose()

    doorkeeper = Authenticator(runtime, api_key, limits)
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Guard, doorkeeper=doorkeeper)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.state.upload_limit = upload_limit
    app.state.running = set()
    app.state.doorkeeper = doorkeeper
    return app
