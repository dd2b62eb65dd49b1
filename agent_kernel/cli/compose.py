"""Settings become a backend, a store, models and a runtime: the one place that knows all the rooms.

Everything here imports late: the kernel asks for its runtime only after it is idle.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent_kernel.config import Settings
from agent_kernel.errors import ConfigurationError, EngineUnavailable

if TYPE_CHECKING:
    from agent_kernel.models.catalogue import Models
    from agent_kernel.runtime.background.recovery import Restart
    from agent_kernel.runtime.base import Runtime
    from agent_kernel.runtime.containers.settings import ContainerOptions
    from agent_kernel.runtime.containers.skills import Skills
    from agent_kernel.runtime.local import LocalRuntime
    from agent_kernel.runtime.observe.audit import AuditLog
    from agent_kernel.runtime.turns.settings import TurnSettings
    from agent_kernel.sandboxes.base import Backend
    from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
    from agent_kernel.sandboxes.docker.backend import DockerBackend
    from agent_kernel.sandboxes.toolbox import Toolbox
    from agent_kernel.store.base import Store

log = logging.getLogger(__name__)


def docker(settings: Settings) -> DockerBackend:
    """Docker as configured; nothing is asked of the engine yet."""
    from agent_kernel.sandboxes.docker.backend import DockerBackend
    from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE

    return DockerBackend(settings.sandbox.image or DEFAULT_IMAGE, settings.sandbox.docker_runtime or None)


def bubblewrap(settings: Settings) -> BubblewrapBackend:
    """The embedded sandbox as configured.

    Raises `ConfigurationError` if an OCI runtime was asked for: it would be silently missing.
    """
    from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend

    if settings.sandbox.docker_runtime:
        raise ConfigurationError(
            f"bubblewrap has no OCI runtimes, but {settings.sandbox.docker_runtime!r} was asked for.",
            hint="Unset AGENT_KERNEL_DOCKER_RUNTIME, or set AGENT_KERNEL_SANDBOX=docker.",
        )
    return BubblewrapBackend(settings.runtime.data_path(), toolbox(settings))


def toolbox(settings: Settings) -> Toolbox:
    """The embedded sandbox's Python with pandas and matplotlib."""
    from agent_kernel.sandboxes.toolbox import Toolbox

    return Toolbox(settings.runtime.data_path())


async def choose_backend(settings: Settings) -> tuple[Backend, str]:
    """The backend that the settings ask for, and a sentence why it is this one.

    `auto` takes Docker where an engine answers, even if its image is missing: creating a sandbox then says
    so, instead of another one being taken in silence. Raises `ConfigurationError`, and `EngineUnavailable`
    if an OCI runtime was asked for and no engine is there to have it.
    """
    asked = settings.sandbox.sandbox
    if asked == "docker":
        return docker(settings), "docker, as configured"
    if asked == "bubblewrap":
        return bubblewrap(settings), "bubblewrap, as configured"
    engine = docker(settings)
    try:
        await engine.list()
    except EngineUnavailable:
        await engine.aclose()
        if settings.sandbox.docker_runtime:
            raise
        return bubblewrap(settings), "bubblewrap, because no Docker Engine answers"
    return engine, "docker, because an engine answers"


def backend_source(settings: Settings) -> Callable[[], Awaitable[Backend]]:
    """Finds the backend on first use and logs which and why."""

    async def find() -> Backend:
        backend, why = await choose_backend(settings)
        log.info("Sandbox: %s.", why)
        return backend

    return find


def store(settings: Settings) -> Store:
    """Return the configured store. Its folder is made, readable by this user only.

    Raises `ConfigurationError` for a store that is not known here.
    """
    from agent_kernel.store.catalogue import open_store

    folder = settings.runtime.data_path()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return open_store(settings.runtime.store, folder)


def models(settings: Settings, *, script_files: bool = True) -> Models:
    """All models, on the configured upstreams. `script_files`: whether requests may name a script's path."""
    from agent_kernel.models.catalogue import Models, NamedUpstream
    from agent_kernel.models.retry import RetryPolicy

    chosen = settings.model
    return Models(
        upstream_url=chosen.upstream_url or None,
        upstream_key=chosen.upstream_key or None,
        default=chosen.chosen(),
        script_files=script_files,
        upstreams={name: NamedUpstream(**entry) for name, entry in chosen.upstreams.items()},
        retry=RetryPolicy(chosen.upstream_retries),
        silence=chosen.upstream_silence,
    )


def audit_log(settings: Settings) -> AuditLog:
    """The audit log as configured; the file is opened with the first line."""
    from agent_kernel.runtime.observe.audit import OFF, AuditLog

    where = settings.container.audit
    if where == "off":
        return OFF
    return AuditLog(Path(where).expanduser() if where else settings.runtime.data_path() / "audit.jsonl")


def turn_settings(settings: Settings) -> TurnSettings:
    """What bounds each turn."""
    from agent_kernel.runtime.turns.budgets import Budget
    from agent_kernel.runtime.turns.settings import TurnSettings

    asked = settings.budget
    budget = Budget(asked.max_tokens or None, asked.max_tool_calls or None, asked.max_seconds or None)
    return TurnSettings(max_steps=asked.max_steps, budget=budget)


def skills(settings: Settings) -> Skills:
    """What requests may name. Raises `ConfigurationError` for a folder that is not there."""
    from agent_kernel.runtime.containers.skills import Skills

    folder = Path(settings.runtime.skills).expanduser() if settings.runtime.skills else None
    if folder is not None and not folder.is_dir():
        raise ConfigurationError(
            f"The folder of skills {folder} does not exist.", hint="Make it, or unset AGENT_KERNEL_SKILLS."
        )
    return Skills(folder)


def container_settings(settings: Settings, *, lease: float, warm: int = 0) -> ContainerOptions:
    """How containers are made. `lease`: seconds that they outlive this process."""
    from agent_kernel.runtime.containers.settings import CheckpointPolicy, ContainerOptions

    return ContainerOptions(
        lease=lease,
        pause_after=settings.container.pause_after,
        upload_limit=settings.container.upload_limit,
        warm=warm,
        checkpoints=CheckpointPolicy(
            keep_expired=settings.container.keep_expired,
            total_size=settings.container.checkpoint_size,
            max_age=settings.container.checkpoint_days * 86400,
        ),
    )


def local_runtime(
    settings: Settings,
    *,
    lease: float,
    script_files: bool = True,
    warm: int = 0,
    restart: Restart = "leave",
) -> LocalRuntime:
    """A runtime in this process.

    `lease`: seconds that its containers outlive it; `warm`: containers that it keeps ready; `restart`: what
    becomes of background turns that a dead server left.
    """
    from agent_kernel.cli.telemetry import tracing
    from agent_kernel.runtime.local import LocalRuntime
    from agent_kernel.runtime.parts import RuntimeParts

    return LocalRuntime(
        RuntimeParts(
            models=models(settings, script_files=script_files),
            backend=backend_source(settings),
            store=store(settings),
            container_settings=container_settings(settings, lease=lease, warm=warm),
            audit=audit_log(settings),
            skills=skills(settings),
            turn_settings=turn_settings(settings),
            tracing=tracing(settings),
            approval=settings.approval.policy(),
            retention=settings.runtime.retention_days * 86400 or None,
            restart=restart,
        )
    )


async def kernel_runtime(settings: Settings) -> Runtime:
    """The runtime of a kernel: its own, or the server's that the settings name."""
    if not settings.runtime.runtime_url:
        # No other client uploads here: a raised KernelSettings.max_upload must be enough.
        settings.container.upload_limit = max(settings.container.upload_limit, settings.kernel.max_upload)
        return local_runtime(settings, lease=settings.runtime.kernel_lease)
    from agent_kernel.runtime.remote.runtime import RemoteRuntime

    return RemoteRuntime(settings.runtime.runtime_url, settings.runtime.api_key or None)
