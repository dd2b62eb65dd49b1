"""Builds the backend, store, models and runtime from the settings.

Functions here import what they need when called: the kernel opens its runtime only after it is idle.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent_kernel.config import Settings
from agent_kernel.errors import ConfigurationError, EngineUnavailable, InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.egress.limits import NetworkLimits
    from agent_kernel.egress.policy import NetworkPolicy
    from agent_kernel.egress.presets.presets import Presets
    from agent_kernel.models.catalogue import Models, NamedUpstream
    from agent_kernel.models.embedding.embedders import Embedder
    from agent_kernel.models.settings import ModelSettings
    from agent_kernel.runtime.background.recovery import Restart
    from agent_kernel.runtime.base import Runtime
    from agent_kernel.runtime.containers.readiness import Prepare
    from agent_kernel.runtime.containers.resources import Allowed
    from agent_kernel.runtime.containers.settings import ContainerOptions
    from agent_kernel.runtime.containers.skills.skills import Skills
    from agent_kernel.runtime.local import LocalRuntime
    from agent_kernel.runtime.observe.audit import AuditLog
    from agent_kernel.runtime.turns.settings import TurnSettings
    from agent_kernel.runtime.webhooks.delivery import Webhooks
    from agent_kernel.sandboxes.base import Backend
    from agent_kernel.sandboxes.catalogue import BackendOptions
    from agent_kernel.store.base import Store

log = logging.getLogger(__name__)


def backend_options(settings: Settings) -> BackendOptions:
    """Return the options that every backend is made with."""
    from agent_kernel.sandboxes.catalogue import BackendOptions

    asked = settings.sandbox
    more = Path(asked.backend_settings) if asked.backend_settings else None
    return BackendOptions(settings.runtime.data_path(), asked.image, asked.docker_runtime, more)


def backend(settings: Settings, name: str) -> Backend:
    """Return the named backend as configured, without contacting an engine.

    Raises `ConfigurationError` for an unknown name or settings that it cannot honour.
    """
    from agent_kernel.sandboxes import catalogue

    return catalogue.make(name, backend_options(settings))


def possible_backends(settings: Settings) -> list[str]:
    """Return the names of the backends that the settings allow; `auto` allows several."""
    from agent_kernel.sandboxes import catalogue

    asked = settings.sandbox.sandbox
    if asked != catalogue.AUTO:
        return [asked]
    rows = {name: catalogue.kind(name) for name in catalogue.BUILT_IN}
    return [
        name
        for name, row in rows.items()
        if row.answers is not None and (row.runtimes or not settings.sandbox.docker_runtime)
    ]


async def choose_backend(settings: Settings) -> tuple[Backend, str]:
    """Return the backend that the settings ask for, and the reason for the choice.

    `auto` chooses Docker if an engine answers, even if its image is missing: creating a sandbox reports that.
    Raises `ConfigurationError`, and `EngineUnavailable` if no backend answers.
    """
    asked = settings.sandbox.sandbox
    silent: EngineUnavailable | None = None
    names = possible_backends(settings)
    if names == [asked]:
        return backend(settings, asked), f"{asked}, as configured"
    for name in names:
        found = backend(settings, name)
        try:
            if await _answers(found, name):
                return found, _why(name, silent)
        except EngineUnavailable as error:
            silent = error
        except BaseException:
            await found.aclose()
            raise
        await found.aclose()
    raise silent or EngineUnavailable("No sandbox backend answers.", hint="See: agent-kernel doctor")


async def _answers(found: Backend, name: str) -> bool:
    from agent_kernel.sandboxes import catalogue

    answers = catalogue.kind(name).answers
    return answers is not None and await answers(found)


def _why(name: str, silent: EngineUnavailable | None) -> str:
    return f"{name}, because {'an engine answers' if silent is None else 'no Docker Engine answers'}"


def backend_source(settings: Settings) -> Callable[[], Awaitable[Backend]]:
    """Return a function that chooses the backend when called, and logs the choice and its reason."""

    async def find() -> Backend:
        found, why = await choose_backend(settings)
        log.info("Sandbox: %s.", why)
        return found

    return find


def preparation(settings: Settings) -> Prepare | None:
    """Return the function that prepares a backend whose toolbox or image is missing.

    None if the operator has switched this off, or has named an image: only they know how it is made.
    """
    from agent_kernel.sandboxes import catalogue

    if not settings.sandbox.prepare or settings.sandbox.image:
        return None

    def prepare(name: str, progress: Callable[[str], None]) -> None:
        row = catalogue.kind(name)
        if row.prepare is not None:
            row.prepare(backend_options(settings), catalogue.Wanted(if_missing=True), progress)

    return prepare


def _make_private(folder: Path) -> None:
    """Make the data folder, or close an open one to other users. Raises `ConfigurationError`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mode = folder.stat().st_mode
    if mode & 0o077:
        try:
            folder.chmod(mode & 0o700)
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {folder} is open to other users and cannot be closed: {error.strerror}.",
                hint="Set AGENT_KERNEL_DATA_DIR to a folder of your own.",
            ) from None


def store(settings: Settings) -> Store:
    """Return the configured store. Creates the data folder, readable by this user only.

    Raises `ConfigurationError` for an unknown kind of store, and for a bucket's URL that is not valid.
    """
    from agent_kernel.store.catalogue import open_store

    folder = settings.runtime.data_path()
    _make_private(folder)
    return open_store(settings.runtime.store, folder, settings.runtime.blobs)


def models(settings: Settings, *, script_files: bool = True) -> Models:
    """Return all models on the configured upstreams.

    `script_files`: requests may name a script by its path.
    """
    from agent_kernel.models.catalogue import Models, UpstreamOptions
    from agent_kernel.models.retry import RetryPolicy

    chosen = settings.model
    return Models(
        upstream_url=chosen.upstream_url or None,
        upstream_key=chosen.upstream_key or None,
        default=chosen.chosen(),
        script_files=script_files,
        upstreams=_named_upstreams(chosen),
        retry=RetryPolicy(chosen.upstream_retries),
        options=UpstreamOptions(chosen.upstream_silence, chosen.context_window or None),
    )


def _named_upstreams(chosen: ModelSettings) -> dict[str, NamedUpstream]:
    """Return the upstreams with their own prefix: the listed ones, and Anthropic if it is configured."""
    from agent_kernel.models.catalogue import ANTHROPIC_SETTINGS, ANTHROPIC_URL, NamedUpstream

    url, key = chosen.anthropic_url or ANTHROPIC_URL, chosen.anthropic_key or None
    anthropic = NamedUpstream("anthropic", url, key, settings=ANTHROPIC_SETTINGS)
    own = {"anthropic": anthropic} if chosen.anthropic_url or chosen.anthropic_key else {}
    return own | {name: NamedUpstream(**entry) for name, entry in chosen.upstreams.items()}


def embedder(settings: Settings) -> Embedder | None:
    """Return the embedding model of vector stores; None: only words are searched. See `configured`."""
    from agent_kernel.models.embedding.configured import embedder

    asked, models = settings.documents, settings.model
    own = (asked.embeddings_url, asked.embeddings_key)
    return embedder(asked.embeddings, own, (models.upstream_url, models.upstream_key))


def audit_log(settings: Settings) -> AuditLog:
    """Return the configured audit log. Its file is opened when the first line is written."""
    from agent_kernel.runtime.observe.audit import OFF, AuditLog

    where = settings.container.audit
    if where == "off":
        return OFF
    return AuditLog(Path(where).expanduser() if where else settings.runtime.data_path() / "audit.jsonl")


def turn_settings(settings: Settings) -> TurnSettings:
    """Return the limits of each turn. Raises `ConfigurationError` for hosts that cannot be used."""
    from agent_kernel.runtime.turns.budgets import Budget
    from agent_kernel.runtime.turns.settings import TurnSettings

    asked = settings.budget
    budget = Budget(asked.max_tokens or None, asked.max_tool_calls or None, asked.max_seconds or None)
    return TurnSettings(
        max_steps=asked.max_steps,
        max_step_tokens=asked.max_step_tokens,
        budget=budget,
        tools={"mcp": settings.mcp.limits(), "web_search": settings.web.access()},
    )


def skills(settings: Settings) -> Skills:
    """Return the skills that requests may name. Raises `ConfigurationError` if their folder is missing."""
    from agent_kernel.runtime.containers.skills.skills import Skills

    folder = Path(settings.runtime.skills).expanduser() if settings.runtime.skills else None
    if folder is not None and not folder.is_dir():
        raise ConfigurationError(
            f"The skills folder {folder} does not exist.", hint="Create it, or unset AGENT_KERNEL_SKILLS."
        )
    return Skills(folder)


def container_settings(settings: Settings, *, lease: float, warm: int = 0) -> ContainerOptions:
    """Return the options that containers are made with. `lease`: seconds that they outlive this process."""
    from agent_kernel.runtime.containers.settings import CheckpointPolicy, ContainerOptions
    from agent_kernel.runtime.containers.skills.folders import SkillFolders
    from agent_kernel.runtime.network.egress import NetworkOptions

    policy, presets = network(settings)
    return ContainerOptions(
        lease=lease,
        pause_after=settings.container.pause_after,
        upload_limit=settings.container.upload_limit,
        warm=warm,
        allowed=allowed(settings),
        network=policy,
        presets=presets,
        network_options=NetworkOptions(network_limits(settings)),
        checkpoints=CheckpointPolicy(
            keep_expired=settings.container.keep_expired,
            total_size=settings.container.checkpoint_size,
            max_age=settings.container.checkpoint_days * 86400,
            kept_size=settings.container.kept_size,
            kept_age=settings.container.kept_days * 86400,
        ),
        skills=SkillFolders(settings.runtime.data_path() / "skills"),
    )


def network_limits(settings: Settings) -> NetworkLimits:
    """Return the limits of each container's connections."""
    from agent_kernel.egress.limits import NetworkLimits

    own = settings.container
    return NetworkLimits(
        own.network_connections,
        own.network_per_minute,
        own.network_bytes_out or None,
        own.network_bytes_in or None,
    )


def allowed(settings: Settings) -> Allowed:
    """Return the limits, volumes and mounts that containers may have.

    Raises `ConfigurationError` for a mount that cannot be used, so that a mistake shows at the start.
    """
    from agent_kernel.runtime.containers.resources import Allowed, Resources
    from agent_kernel.sandboxes.mounts import read_mounts

    own = settings.container
    found = Allowed(
        bounds=Resources(
            cpus=own.cpus or None,
            pids=own.pids or None,
            open_files=own.open_files or None,
            disk=own.disk or None,
        ),
        volumes=own.volumes,
        mounts=read_mounts(own.mounts),
        private=(settings.runtime.data_path(),),
    )
    for mount in found.mounts.values():
        mount.check(found.private)
    return found


def network(settings: Settings) -> tuple[NetworkPolicy, Presets]:
    """Return the upper bound of all network policies, and the presets that they may name.

    Reads the configuration of each tool whose preset the bound names, so that a mistake shows at the start.
    Raises `ConfigurationError` for an invalid entry, and for a preset that names no host here.
    """
    from agent_kernel.config.tools import tool_environment
    from agent_kernel.egress.presets.ask import Route
    from agent_kernel.egress.presets.operator import Operator
    from agent_kernel.egress.presets.presets import Presets

    try:
        policy = network_entries(settings)
        presets = Presets(Operator(tool_environment()), Route(policy.rules))
        for preset in policy.presets:
            presets.configured(preset)
        return policy, presets
    except InvalidRequest as error:
        raise ConfigurationError(
            f"AGENT_KERNEL_NETWORK cannot be used: {error.message}", hint=error.hint
        ) from None


def network_entries(settings: Settings) -> NetworkPolicy:
    """Return the operator's entries, presets by name. Raises `InvalidRequest`."""
    from agent_kernel.egress.policy import NetworkPolicy, entries_in

    entries = entries_in(settings.container.network.replace(",", " ").split())
    return NetworkPolicy.parse(entries) if entries else NetworkPolicy()


def local_runtime(
    settings: Settings,
    *,
    lease: float,
    script_files: bool = True,
    warm: int = 0,
    restart: Restart = "leave",
    webhooks: Webhooks | None = None,
) -> LocalRuntime:
    """Return a runtime in this process.

    `lease`: seconds for which its containers outlive it. `warm`: number of containers that it keeps ready.
    `restart`: what to do with background turns left by a dead server.
    """
    from agent_kernel.cli.telemetry import tracing
    from agent_kernel.runtime.local import LocalRuntime
    from agent_kernel.runtime.parts import RuntimeParts

    return LocalRuntime(
        RuntimeParts(
            models=models(settings, script_files=script_files),
            backend=backend_source(settings),
            store=store(settings),
            prepare=preparation(settings),
            container_settings=container_settings(settings, lease=lease, warm=warm),
            audit=audit_log(settings),
            skills=skills(settings),
            turn_settings=turn_settings(settings),
            tracing=tracing(settings),
            approval=settings.approval.policy(),
            most_sessions=settings.runtime.max_sessions,
            retention=settings.runtime.retention_days * 86400 or None,
            embedder=embedder(settings),
            max_document=settings.documents.max_document,
            restart=restart,
            webhooks=webhooks,
        )
    )


async def kernel_runtime(settings: Settings) -> Runtime:
    """Return the runtime of a kernel: a local one, or that of the configured server."""
    if not settings.runtime.runtime_url:
        # Only this kernel uploads here, so raising KernelSettings.max_upload must be enough.
        settings.container.upload_limit = max(settings.container.upload_limit, settings.kernel.max_upload)
        return local_runtime(settings, lease=settings.runtime.kernel_lease)
    from agent_kernel.runtime.remote.runtime import RemoteRuntime

    return RemoteRuntime(settings.runtime.runtime_url, settings.runtime.api_key or None)
