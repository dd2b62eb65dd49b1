"""`agent-kernel serve`: the Responses API over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent_kernel.cli import flags
from agent_kernel.config import Settings

if TYPE_CHECKING:
    from agent_kernel.keys import KeyLimits
    from agent_kernel.runtime.local import LocalRuntime

log = logging.getLogger(__name__)

PACKAGES = ("starlette", "uvicorn", "multipart", "python_multipart", "websockets", "pythonjsonlogger")

NAMES = (
    *flags.WHERE,
    "prepare",
    "model",
    "upstream_url",
    "upstream_key",
    "anthropic_url",
    "anthropic_key",
    "upstream_retries",
    "upstream_silence",
    "context_window",
    "api_key",
    "host",
    "port",
    "turns_per_key",
    "containers_per_key",
    "bytes_per_key",
    "requests_per_minute",
    "max_connections",
    "webhooks",
    "webhook_secret",
    "key_webhooks",
    "webhook_hosts",
    "workers",
    "server_lease",
    "retention_days",
    "max_sessions",
    "background_restart",
    "skills",
    "max_steps",
    "max_step_tokens",
    "max_tokens",
    "max_tool_calls",
    "max_seconds",
    "otel",
    "pause_after",
    "keep_expired",
    "kept_size",
    "kept_days",
    "warm",
    "cpus",
    "pids",
    "open_files",
    "disk",
    "volumes",
    "mounts",
    "network",
    "upload_limit",
    "audit",
    "approval",
    "approval_rules",
    "after_outside",
    "hosts",
    "web_search",
    "web_search_url",
    "web_search_tool",
    "web_hosts",
    "web_timeout",
    "timeout",
    "log",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting of a server."""
    flags.add_settings(parser, NAMES)


def _spare_aiohttp() -> None:
    """Keep the `openai` package from loading aiohttp (11 MB), which it does wherever that is installed.

    It then does without, as where aiohttp is missing: only its `DefaultAioHttpClient` needs it.
    """
    sys.modules.setdefault("openai._vendor.httpx_aiohttp", None)  # type: ignore[arg-type]  # its import fails


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted. Without a key, refuse to listen on anything but loopback."""
    from agent_kernel.errors import ConfigurationError

    settings = flags.load(arguments)
    _spare_aiohttp()
    with packages():
        from agent_kernel.server import logs
        from agent_kernel.server.serving import bound
        from agent_kernel.server.workers import Supervisor
    logs.set_up(settings.server.log)
    workers = settings.server.workers
    if workers == 1:
        return _serve(settings, settings.server.port, _say)
    if not hasattr(os, "fork"):
        raise ConfigurationError("This system serves with one process only.", hint="Leave --workers out.")
    with bound(settings.server.host, settings.server.port, shared=True) as reserved:
        port = reserved.getsockname()[1]
        return Supervisor(workers, lambda ready: _serve(settings, port, ready)).run(_say)


def _say(url: str) -> None:
    print(f"Serving {url}", flush=True)


def _serve(settings: Settings, port: int, say: Callable[[str], None]) -> int:
    """Serve with this process until interrupted. `say` gets the URL once it accepts connections."""
    from agent_kernel.server import serve

    served = runtime(settings)
    warming: list[asyncio.Task[None]] = []

    def announce(url: str) -> None:
        gc.freeze()  # no collection looks at what was imported until now
        say(url)
        if settings.container.warm:
            warming.append(asyncio.get_running_loop().create_task(served.containers.warm_up()))

    serve(
        served,
        host=settings.server.host,
        port=port,
        api_key=settings.runtime.api_key or None,
        upload_limit=settings.container.upload_limit,
        limits=limits(settings),
        max_connections=settings.server.max_connections,
        announce=announce,
        shared=settings.server.workers > 1,
    )
    return 0


@contextmanager
def packages() -> Iterator[None]:
    """Import the server inside. Raises `ConfigurationError` if one of its packages is missing."""
    from agent_kernel.errors import ConfigurationError

    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        raise ConfigurationError(
            f"The server's packages are not installed ({error.name} is missing).",
            hint='Install them: pip install "jupyter-agent-kernel[serve]"',
        ) from error


def runtime(settings: Settings) -> LocalRuntime:
    """Return the runtime of a server, and log what this installation cannot do."""
    from agent_kernel.cli.compose import local_runtime
    from agent_kernel.runtime.webhooks.configured import configured

    restart: Any = settings.runtime.background_restart
    lease = settings.runtime.server_lease
    warm = settings.container.warm
    server = settings.server
    webhooks = configured(
        server.webhooks,
        server.webhook_secret,
        server.webhook_hosts,
        settings.runtime.data_path(),
        server.key_webhooks,
    )
    served = local_runtime(
        settings, lease=lease, script_files=False, warm=warm, restart=restart, webhooks=webhooks
    )
    _warn(settings)
    return served


def _warn(settings: Settings) -> None:
    """Log what the operator's network policy names and this installation cannot do."""
    from agent_kernel.cli.compose import network_entries
    from agent_kernel.runtime.network.secrets import INSTALL, lacking

    if (problem := lacking(network_entries(settings))) is not None:
        log.warning("AGENT_KERNEL_NETWORK: %s. Install them: %s", problem, INSTALL)


def limits(settings: Settings) -> KeyLimits:
    """Return the limits of keys that set none themselves."""
    from agent_kernel.keys import KeyLimits

    server = settings.server
    return KeyLimits(
        turns=server.turns_per_key or None,
        containers=server.containers_per_key or None,
        stored_bytes=server.bytes_per_key or None,
        requests_per_minute=server.requests_per_minute or None,
    )
