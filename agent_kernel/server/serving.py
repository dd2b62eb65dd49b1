"""Run the application on an address: `serve` blocks, `listen` is a coroutine."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette

from agent_kernel.errors import ConfigurationError
from agent_kernel.keys import KeyLimits
from agent_kernel.runtime.base import ServedRuntime
from agent_kernel.server.app import UPLOAD_LIMIT, create_app
from agent_kernel.server.auth import HEAD_LIMIT, is_loopback
from agent_kernel.server.connections import BoundedConnection, BoundedSocket
from agent_kernel.server.uploads import JSON_LIMIT

log = logging.getLogger(__name__)

GRACE = 5
"""Seconds that running turns get to end when the server stops. Then they are cancelled and stored."""


UNREAD = 120
"""Seconds until a connection is reset whose client does not read, or is gone without closing it.

Meanwhile the turn is paused; only what fits into the system's socket buffers is produced."""

MAX_CONNECTIONS = 500

Announce = Callable[[str], None]
"""Called with the base URL (it ends in `/v1`) once the server accepts connections."""


def serve(
    runtime: ServedRuntime,
    *,
    host: str = "127.0.0.1",
    port: int = 8642,
    api_key: str | None = None,
    upload_limit: int = UPLOAD_LIMIT,
    limits: KeyLimits = KeyLimits(),  # noqa: B008 (frozen)
    max_connections: int = MAX_CONNECTIONS,
    announce: Announce | None = None,
    shared: bool = False,
) -> None:
    """Serve a runtime until SIGINT or SIGTERM, then close it. Blocks. See `listen` and `create_app`."""
    app = create_app(runtime, api_key=api_key, upload_limit=upload_limit, limits=limits)
    listening = listen(app, host, port, max_connections=max_connections, announce=announce, shared=shared)
    with suppress(KeyboardInterrupt):  # a second SIGINT, after the shutdown
        asyncio.run(listening)


async def listen(
    app: Starlette,
    host: str,
    port: int,
    *,
    max_connections: int = MAX_CONNECTIONS,
    announce: Announce | None = None,
    shared: bool = False,
) -> None:
    """Serve until SIGINT, SIGTERM or cancellation. `port` 0 takes a free port.

    `shared`: other processes of this user may listen there as well; see `bound`.

    Raises `ConfigurationError` for an address other than loopback without a key, and for one that cannot be
    bound.
    """
    if not is_loopback(host) and not await app.state.doorkeeper.asks_for_keys():
        raise ConfigurationError(
            f"Without an API key the server listens on loopback only, not on {host}.",
            hint="Set AGENT_KERNEL_API_KEY, create keys (agent-kernel keys create), or use --host 127.0.0.1.",
        )
    with bound(host, port, shared=shared) as listener:
        listener.listen(128)
        real_port = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{real_port}/v1"
        server = _Server(_config(app, max_connections), lambda: (announce or _log)(url))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:  # uvicorn alone would stop without closing its connections
            server.should_exit = True
            await serving
            raise


def _log(url: str) -> None:
    log.info("Serving %s", url)


def bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a socket with an address, which does not listen yet. Raises `ConfigurationError`.

    If `shared`, the system distributes new connections among all sockets that listen at this address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted connections inherit it
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD * 1000)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"The server cannot listen on {host}:{port}: {error}.",
            hint="Choose another --port (0 takes a free port) or --host.",
        ) from error
    return listener


def _config(app: Starlette, max_connections: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,  # the command line sets logging up
        access_log=False,
        http=BoundedConnection,
        h11_max_incomplete_event_size=HEAD_LIMIT,
        limit_concurrency=max_connections,
        ws=BoundedSocket,
        ws_max_size=JSON_LIMIT,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
        server_header=False,
    )


class _Server(uvicorn.Server):
    """Uvicorn's server, with a callback for when it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()
