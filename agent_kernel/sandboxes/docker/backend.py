"""Sandboxes in containers of a Docker Engine (or any engine with its API), one container each."""

from __future__ import annotations

import asyncio
import builtins
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from agent_kernel.errors import (
    InvalidRequest,
    SandboxError,
    SandboxGone,
    SandboxStartFailed,
)
from agent_kernel.sandboxes.base import (
    MANAGED_LABEL,
    ByteStream,
    Capabilities,
    Probe,
    SandboxRef,
    SandboxSpec,
)
from agent_kernel.sandboxes.docker import removal as docker_removal
from agent_kernel.sandboxes.docker import snapshots as docker_snapshots
from agent_kernel.sandboxes.docker import volumes as docker_volumes
from agent_kernel.sandboxes.docker.address import RequestRefused
from agent_kernel.sandboxes.docker.attachment import attach, enter, explain_end, refusal
from agent_kernel.sandboxes.docker.container import (
    container_name,
    reference,
    status_of,
)
from agent_kernel.sandboxes.docker.engine import (
    Engine,
    ends_what_it_should_remove,
    engine_errors,
    has_image,
    limits_disk,
    stats,
)
from agent_kernel.sandboxes.docker.exit_watcher import ContainerEnd
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from agent_kernel.sandboxes.docker.podman import check_runtime, is_podman, less
from agent_kernel.sandboxes.docker.refusals import (
    check_isolation,
    disk_unlimited,
    image_missing,
    mounts_elsewhere,
)
from agent_kernel.sandboxes.docker.start import ContainerStart, StartedContainer
from agent_kernel.sandboxes.docker.start_stream import FirstStreams
from agent_kernel.sandboxes.near.group_usage import group_of, read_usage
from agent_kernel.sandboxes.near.uninterrupted import to_the_end
from agent_kernel.sandboxes.optional import ComputeUsage, Snapshot, Volume
from agent_kernel.sandboxes.socket_stream import Hook

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class DockerBackend:
    """A `Backend` on the engine that docker-py finds (DOCKER_HOST, or the default socket).

    `image` must hold python3 (3.8 or newer) and bash. `runtime` names an OCI runtime the engine knows
    (`runsc`, `kata`, ...); None takes the engine's default.
    """

    name = "docker"

    def __init__(self, image: str = DEFAULT_IMAGE, runtime: str | None = None) -> None:
        self.image = image
        self._image_digest = ""
        self.runtime = runtime
        self._engine = Engine()
        self._first = FirstStreams()
        self._groups: dict[str, dict[str, str]] = {}
        """The control groups of attached sandboxes, where this process sees them."""
        self._snapshots = docker_snapshots.SnapshotList()
        self._limits_disk = False
        self._removes_itself = True
        self._info: Mapping[str, Any] | None = None
        """What the engine said about itself, until a sandbox does not start."""

    async def probe(self) -> Probe:
        """Check whether the engine answers, has the runtime and holds the image."""
        try:
            info = await self._look()
            if not await self._engine.ask(has_image, await self._engine.api(), self.image):
                raise image_missing(self.image)
        except SandboxError as error:
            return Probe(False, error.message, error.hint)
        isolation = self.runtime or info.get("DefaultRuntime", "runc")
        disk = (
            ""
            if self._limits_disk
            else f" Disk space is not limited (storage driver {info.get('Driver', '?')})."
        )
        version = info.get("ServerVersion", "?")
        engine, limits = ("Podman", f" {less(info)}") if is_podman(info) else ("Engine", "")
        return Probe(True, f"{engine} {version} with {isolation}, image {self.image}.{disk}{limits}")

    async def create(self, spec: SandboxSpec) -> SandboxRef:
        """Make a container, start it and wait until boxd listens; see `Backend.create`.

        Also raises `InvalidRequest` for an id that cannot name a container.
        """
        if not _ID.fullmatch(spec.id):
            raise InvalidRequest(f"{spec.id!r} is not a valid sandbox id.")
        spec.check()
        try:
            started = await self._start(spec, self._info or await self._look())
        except SandboxError:
            self._info = None  # it may be another engine by now
            raise
        self._first.keep(spec.id, started)
        return SandboxRef(spec.id, self.name, "running", {**spec.labels, MANAGED_LABEL: "1"})

    async def _start(self, spec: SandboxSpec, info: Mapping[str, Any]) -> StartedContainer:
        if spec.disk is not None and not self._limits_disk:
            raise disk_unlimited(info.get("Driver", "?"))
        if (await self._engine.address()).path is None:
            if spec.mounts:
                raise mounts_elsewhere()
            spec = replace(spec, skills=None)
        await asyncio.to_thread(spec.make_skills_folder)
        start = ContainerStart(
            self._engine,
            self.image,
            self.runtime,
            removes_itself=self._removes_itself,
            podman=is_podman(info),
        )
        try:
            return await start.run(spec)
        except SandboxStartFailed as error:
            if spec.skills is None or spec.skills not in error.message:
                raise
            log.warning("Skills will not be read-only: the engine does not see %s.", spec.skills)
            return await start.run(replace(spec, skills=None))  # this process may be in a container itself

    async def get(self, id: str) -> SandboxRef:  # noqa: A002 (the field's own word)
        """Find a sandbox by id. Raises `SandboxGone` if it does not exist, `EngineUnavailable`."""
        found = await self._engine.inspect(container_name(id)) if _ID.fullmatch(id) else None
        labels = found["Config"]["Labels"] or {} if found else {}
        if found is None or MANAGED_LABEL not in labels:
            raise SandboxGone(f"There is no sandbox {id}: it has expired or was removed.")
        return reference(id, labels, found["State"])

    async def list(self, labels: Mapping[str, str] | None = None) -> list[SandboxRef]:
        """Find all of ours that carry these labels, in every state. Raises `EngineUnavailable`."""
        wanted = [f"{name}={value}" for name, value in {**(labels or {}), MANAGED_LABEL: "1"}.items()]
        api = await self._engine.api()
        found = await self._engine.ask(api.containers, all=True, filters={"label": wanted})
        prefix = "/" + container_name("")
        return [
            reference(name.removeprefix(prefix), entry.get("Labels") or {}, entry.get("State", ""))
            for entry in found
            for name in entry["Names"]
            if name.startswith(prefix)
        ]

    async def stream(self, ref: SandboxRef) -> ByteStream:
        """Reach boxd's socket where this process may; else return the stream of the start, or attach."""
        api, address = await self._engine.api(), await self._engine.address()
        name = container_name(ref.id)
        end: ContainerEnd | None = None
        try:
            end = await ContainerEnd.follow(address, api.api_version, name)
            why = partial(explain_end, self._engine, ref.id, end)
            started = self._first.container(ref.id)
            entered = await self._enter(ref.id, started, end, why) if started is not None else None
            if entered is None:
                running = await self._engine.inspect(name)
                if running is not None and status_of(running["State"]) != "running":
                    running = None
                entered = await self._enter(ref.id, running, end, why) if running is not None else None
                if running is None:
                    await self._first.drop(ref.id)  # of one that does not run, the engine's message is best
            if entered is not None:
                await self._first.drop(ref.id)
                return entered
            stream = await self._first.take(ref.id) or await attach(api, address, name)
        except BaseException as error:
            if end is not None:
                await end.aclose()
            if isinstance(error, engine_errors(RequestRefused, OSError)) and not isinstance(
                error, SandboxError
            ):
                raise refusal(ref.id, (await self.get(ref.id)).status, error) from error
            raise
        stream.on_end = why
        stream.follow(end)
        return stream

    async def _enter(
        self,
        id: str,  # noqa: A002 (the field's own word)
        container: Mapping[str, Any],
        end: ContainerEnd,
        why: Hook,
    ) -> ByteStream | None:
        """Reach boxd without the engine, by what the engine said of its container; see `enter`."""
        address = await self._engine.address()
        if container["Config"].get("Image") == self.image:
            self._image_digest = str(container.get("Image") or "")
        if address.path is not None:
            self._groups[id] = group_of(container["State"]["Pid"], container["Id"])
        return await enter(address, container, end, why)

    async def delete(self, ref: SandboxRef) -> None:
        """Kill and remove the container, and check that nothing is left; see `Backend.delete`."""
        await self._first.drop(ref.id)
        self._groups.pop(ref.id, None)
        api = await self._engine.api()
        found = await self._engine.inspect(container_name(ref.id)) if _ID.fullmatch(ref.id) else None
        labels = found["Config"]["Labels"] or {} if found is not None else {}
        if found is None or MANAGED_LABEL not in labels:
            return
        await self._engine.ask(docker_removal.remove, api, found)
        if docker_snapshots.SNAPSHOT_LABEL in labels:
            await self._engine.ask(docker_snapshots.clear, api)

    async def usage(self, ref: SandboxRef) -> ComputeUsage | None:
        """Read the counters of the container's control group, or ask the engine; see `Metering.usage`."""
        found = await asyncio.to_thread(read_usage, self._groups.get(ref.id, {}))
        if found is not None:
            return found
        api = await self._engine.api()
        return await self._engine.ask(stats, api, container_name(ref.id))

    async def checkpoint(
        self,
        ref: SandboxRef,
        id: str,  # noqa: A002 (the field's own word)
        labels: Mapping[str, str],
        most: int | None = None,
    ) -> Snapshot:
        """Commit the container to an image; see `Backend.checkpoint`."""
        if not _ID.fullmatch(id):
            raise InvalidRequest(f"{id!r} is not a valid checkpoint id.")
        api = await self._engine.api()
        try:
            return await to_the_end(asyncio.to_thread(docker_snapshots.commit, api, ref.id, id, labels, most))
        except asyncio.CancelledError:
            await self.remove_snapshot(id)
            raise

    async def snapshots(self, labels: Mapping[str, str] | None = None) -> builtins.list[Snapshot]:
        """See `Backend.snapshots`."""
        return await self._engine.ask(self._snapshots.read, await self._engine.api(), labels or {})

    async def volumes(self) -> builtins.list[Volume]:
        """See `Backend.volumes`."""
        return await self._engine.ask(docker_volumes.volumes, await self._engine.api())

    async def remove_volume(self, name: str) -> None:
        """See `Backend.remove_volume`."""
        await self._engine.ask(docker_volumes.remove, await self._engine.api(), name)

    async def remove_snapshot(self, id: str) -> None:  # noqa: A002
        """See `Backend.remove_snapshot`."""
        await self._engine.ask(docker_snapshots.remove, await self._engine.api(), id)

    def capabilities(self) -> Capabilities:
        """Return the capabilities. `disk_limit` depends on the engine, `isolation` is the OCI runtime."""
        return Capabilities(
            memory_limit=True,
            process_limit=True,
            isolation=self.runtime or "runc",
            cpu_limit=True,
            open_files_limit=True,
            disk_limit=self._limits_disk,
            snapshots=True,
            volumes=True,
            mounts=True,
            network=True,
            transparent_egress=True,
            metering=True,
            survives_out_of_memory=self.runtime in (None, "runc"),
            image=self.image,
            image_digest=self._image_digest,
        )

    async def aclose(self) -> None:
        """Close the connections to the engine; sandboxes live on. Idempotent."""
        await self._first.aclose()
        await self._engine.aclose()

    async def _look(self) -> Mapping[str, Any]:
        """Return what the engine says about itself. Raises `EngineUnavailable`, `IsolationUnavailable`."""
        info = await self._engine.info()
        check_isolation(info, self.runtime)
        if is_podman(info):
            check_runtime(info, self.runtime)
        self._limits_disk = limits_disk(info)
        self._removes_itself = not ends_what_it_should_remove(info)
        self._info = info
        return info
