"""The HTTP application over a runtime: `create_app`."""

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
    """Make the application. It owns `runtime`, which is closed when the server stops.

    Clients send a key as bearer token: `api_key`, or one of `runtime.keys`. None, and no key there ever was,
    means that none is needed, and then only requests whose `Host` (and `Origin`, if any) is this machine's
    loopback are answered; an empty key is refused with `ValueError`, because it would protect nothing.
    `limits` hold for each key, as far as it has none of its own. `upload_limit` (bytes) lets a body that is
    announced as larger be refused before it is read; the runtime's own limit holds in any case.
    """
    if api_key is not None and not api_key.strip():
        raise ValueError("api_key must not be empty; None means that there is none.")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        await runtime.start()
        try:
            yield
        finally:
            for task in app.state.running:
                task.cancel()
            await asyncio.gather(
                *app.state.running, return_exceptions=True
            )  # each writes down how far it got
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
