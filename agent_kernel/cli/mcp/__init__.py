"""`agent-kernel mcp`: sandboxes for MCP clients, over standard input and output or over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from agent_kernel.cli import flags, serve
from agent_kernel.config import Settings

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Runtime

PACKAGES = ("mcp", "mcp_types")

_NOT_HERE = (
    "model",
    "upstream_url",
    "upstream_key",
    "upstream_retries",
    "upstream_silence",
    "context_window",
    "workers",
)
NAMES = (*(name for name in serve.NAMES if name not in _NOT_HERE), "runtime_url")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how to serve, and the settings of sandboxes and keys."""
    parser.add_argument(
        "--http",
        action="store_true",
        help="serve streamable HTTP at /mcp, instead of standard input and output",
    )
    parser.add_argument(
        "--key",
        metavar="NAME",
        help="on standard input and output: act as the holder of this key, with its containers and limits",
    )
    flags.add_settings(parser, NAMES)


def run(arguments: argparse.Namespace) -> int:
    """Serve until the client leaves, or, over HTTP, until interrupted.

    Raises `ConfigurationError` if a package is missing, `InvalidRequest` for flags that exclude each other,
    and `NotFound` for an unknown key.
    """
    from agent_kernel.errors import InvalidRequest

    settings = flags.load(arguments)
    remote = bool(settings.runtime.runtime_url)
    _check_packages()
    if arguments.http and (arguments.key or remote):
        what = "--key" if arguments.key else "AGENT_KERNEL_RUNTIME_URL"
        raise InvalidRequest(
            f"--http and {what} exclude each other.",
            hint="Over HTTP each client sends its own key, and the sandboxes are this machine's.",
        )
    if arguments.key and remote:
        raise InvalidRequest(
            "--key names a key of this machine's store, but the sandboxes are another server's.",
            hint="Set AGENT_KERNEL_API_KEY to a key of that server.",
        )
    if arguments.http:
        _http(settings)
    else:
        asyncio.run(_stdio(settings, arguments.key))
    return 0


def _check_packages() -> None:
    from agent_kernel.errors import ConfigurationError

    try:
        import mcp.server.mcpserver  # noqa: F401 (asked for its absence)
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        raise ConfigurationError(
            "The package of the Model Context Protocol is not installed.",
            hint='Install it: pip install "jupyter-agent-kernel[mcp]"',
        ) from error


async def _stdio(settings: Settings, key: str | None) -> None:
    import logging

    from agent_kernel.mcp_server.server import serve_stdio

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)  # standard output is the client's
    if not await serve_stdio(await _runtime(settings, key)):
        os._exit(128 + signal.SIGTERM)


async def _runtime(settings: Settings, key: str | None) -> Runtime:
    """Return the runtime for one client. Raises `NotFound` for an unknown key."""
    from agent_kernel.cli import compose

    if settings.runtime.runtime_url:
        return await compose.kernel_runtime(settings)
    local = compose.local_runtime(settings, lease=settings.runtime.server_lease, script_files=False)
    if key is None:
        return local
    from agent_kernel.errors import NotFound
    from agent_kernel.keys import Key

    for row in await local.keys.all():
        if row.name == key and row.revoked_at is None:
            return local.for_key(Key(row.name, row.limits.over(serve.limits(settings))))
    await local.aclose()
    raise NotFound(f"No key is named {key!r}.", hint="See: agent-kernel keys list")


def _http(settings: Settings) -> None:
    with serve.packages():
        from agent_kernel.server import listen, logs
    from agent_kernel.mcp_server.http import PATH, create_app

    logs.set_up(settings.server.log)
    app = create_app(
        serve.runtime(settings), api_key=settings.runtime.api_key or None, limits=serve.limits(settings)
    )
    serving = listen(
        app,
        settings.server.host,
        settings.server.port,
        max_connections=settings.server.max_connections,
        announce=lambda url: print(f"Serving {url.removesuffix('/v1')}{PATH}", flush=True),
    )
    with suppress(KeyboardInterrupt):  # a second SIGINT, after the shutdown
        asyncio.run(serving)
