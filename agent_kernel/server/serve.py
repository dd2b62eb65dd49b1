"""Listening: `serve` runs the application on an address until it is told to stop."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from agent_kernel.errors import ConfigurationError
from agent_kernel.server.auth import is_loopback

log = logging.getLogger(__name__)

GRACE = 5
"""Seconds for running turns to end when the server stops; then they are cancelled (and stored as such)."""


async def serve(
    app: Starlette,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or cancellation.

    `port` 0 takes a free one; `announce` is called with the real base URL once connections are accepted.
    Raises `ConfigurationError` for an address beyond loopback without a key, and for one that cannot be had.
    """
    if not app.state.has_key and not is_loopback(host):
        raise ConfigurationError(
            f"Without a key the server listens on this machine only, not on {host}.",
            mend="Set AGENT_KERNEL_API_KEY to a secret of your own, or use --host 127.0.0.1.",
        )
    with _listen(host, port) as listener:
        real_port = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{real_port}/v1"
        server = _Server(_config(app), lambda: announce(url) if announce else log.info("Serving %s", url))
        await server.serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"The server cannot listen on {host}:{port}: {error}.",
            mend="Choose another --port (0 takes a free one) or --host.",
        ) from error
    return listener


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,  # logging is the composition root's affair
        access_log=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
        server_header=False,
    )


class _Server(uvicorn.Server):
    """Uvicorn's server, telling when it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()
