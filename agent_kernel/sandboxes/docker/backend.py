"""Sandboxes in containers of a Docker Engine (or any engine with its API), one container each."""

from __future__ import annotations

import asyncio
import builtins
import logging
import re
import uuid
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import (
    InvalidRequest,
    IsolationUnavailable,
    SandboxError,
    SandboxGone,
    SandboxStartFailed,
    SandboxUnreachable,
)
from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import (
    MANAGED_LABEL,
    Capabilities,
    Probe,
    SandboxRef,
    SandboxSpec,
)
from agent_kernel.sandboxes.docker import engine as docker_engine
from agent_kernel.sandboxes.docker import removal as docker_removal
from agent_kernel.sandboxes.docker import snapshots as docker_snapshots
from agent_kernel.sandboxes.docker import volumes as docker_volumes
from agent_kernel.sandboxes.docker.address import Address, RequestRefused
from agent_kernel.sandboxes.docker.container import (
    ATTEMPT_LABEL,
    container_name,
    create_arguments,
    reference,
)
from agent_kernel.sandboxes.docker.engine import (
    Engine,
    ends_what_it_should_remove,
    engine_errors,
    limits_disk,
    reason,
    to_the_end,
    unavailable,
)
from agent_kernel.sandboxes.docker.exit_watcher import ContainerEnd
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from agent_kernel.sandboxes.docker.refusals import (
    check_isolation,
    disk_unlimited,
    image_missing,
    mounts_elsewhere,
    unfit,
)
from agent_kernel.sandboxes.docker.start_stream import FirstStreams
from agent_kernel.sandboxes.docker.stream import DockerStream, hijack
from agent_kernel.sandboxes.docker.verification import verify
from agent_kernel.sandboxes.optional import Snapshot, Volume

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_START_SECONDS = 60.0  # from the start request to boxd's word that it listens
_DYING_SECONDS = 2.0
_PYTHON = "python3"


class DockerBackend:
    """A `Backend` on the engine that docker-py finds (DOCKER_HOST, or the default socket).

    `image` must hold python3 (3.8 or newer) and bash. `runtime` names an OCI runtime the engine knows
    (`runsc`, `kata`, ...); None takes the engine's default.
    """

    name = "docker"

    def __init__(self, image: str = DEFAULT_IMAGE, runtime: str | None = None) -> None:
        self.image = image
        self.runtime = runtime
        self._engine = Engine()
        self._first = FirstStreams()
        self._limits_disk = False
        self._removes_itself = True

    async def probe(self) -> Probe:
        """Look whether the engine answers, has the runtime and holds the image."""
        try:
            info = await self._look()
            if not await self._engine.ask(_has_image, await self._engine.api(), self.image):
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
        return Probe(True, f"Engine {version} with {isolation}, image {self.image}.{disk}")

    async def create(self, spec: SandboxSpec) -> SandboxRef:
        """Make a container, start it and wait until boxd listens; see `Backend.create`.

        Also raises `InvalidRequest` for an id that cannot name a container.
        """
        if not _ID.fullmatch(spec.id):
            raise InvalidRequest(f"{spec.id!r} cannot be a sandbox id.")
        spec.check()
        info = await self._look()
        if spec.disk is not None and not self._limits_disk:
            raise disk_unlimited(info.get("Driver", "?"))
        if spec.mounts and (await self._engine.address()).path is None:
            raise mounts_elsewhere()
        api = await self._engine.api()
        attempt = uuid.uuid4().hex
        try:
            asked = await to_the_end(asyncio.to_thread(self._make, api, spec, attempt))
            self._first.keep(spec.id, await self._start(api, container_name(spec.id), asked))
        except BaseException:
            await to_the_end(asyncio.to_thread(_remove_attempt, api, container_name(spec.id), attempt))
            raise
        return SandboxRef(spec.id, self.name, "running", {**spec.labels, MANAGED_LABEL: "1"})

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

    async def stream(self, ref: SandboxRef) -> DockerStream:
        """Return the stream of the start, or start boxd's attach program and take over its streams."""
        api, address = await self._engine.api(), await self._engine.address()
        name = container_name(ref.id)
        end: ContainerEnd | None = None
        try:
            end = await ContainerEnd.follow(address, api.api_version, name)
            if ref.id in self._first and (await self.get(ref.id)).status != "running":
                await self._first.drop(ref.id)  # the engine's own message explains it best
            stream = await self._first.take(ref.id) or await _attach(api, address, name)
        except BaseException as error:
            if end is not None:
                await end.aclose()
            if isinstance(error, engine_errors(RequestRefused, OSError)):
                raise await self._stream_refused(ref.id, error) from error
            raise
        stream.on_end = partial(self._stream_ended, ref.id, end)
        stream.follow(end)
        return stream

    async def delete(self, ref: SandboxRef) -> None:
        """Kill and remove the container, and check that nothing is left; see `Backend.delete`."""
        await self._first.drop(ref.id)
        try:
            await self.get(ref.id)
        except SandboxGone:
            return
        await self._engine.ask(docker_removal.remove, await self._engine.api(), container_name(ref.id))

    async def checkpoint(self, ref: SandboxRef, id: str, labels: Mapping[str, str]) -> Snapshot:  # noqa: A002
        """Commit the container to an image; see `Backend.checkpoint`."""
        if not _ID.fullmatch(id):
            raise InvalidRequest(f"{id!r} cannot be a checkpoint's id.")
        api = await self._engine.api()
        try:
            return await to_the_end(asyncio.to_thread(docker_snapshots.commit, api, ref.id, id, labels))
        except asyncio.CancelledError:
            await self.remove_snapshot(id)
            raise

    async def snapshots(self, labels: Mapping[str, str] | None = None) -> builtins.list[Snapshot]:
        """See `Backend.snapshots`."""
        wanted = (labels or {}).items()
        found = await self._engine.ask(docker_snapshots.snapshots, await self._engine.api())
        return [snapshot for snapshot in found if wanted <= dict(snapshot.labels).items()]

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
            survives_out_of_memory=self.runtime in (None, "runc"),
            image=self.image,
        )

    async def aclose(self) -> None:
        """Close the connections to the engine; sandboxes live on. Idempotent."""
        await self._first.aclose()
        await self._engine.aclose()

    async def _look(self) -> Mapping[str, Any]:
        """Return what the engine says about itself. Raises `EngineUnavailable`, `IsolationUnavailable`."""
        info = await self._engine.info()
        check_isolation(info, self.runtime)
        self._limits_disk = limits_disk(info)
        self._removes_itself = not ends_what_it_should_remove(info)
        return info

    def _make(self, api: APIClient, spec: SandboxSpec, attempt: str) -> Mapping[str, Any]:
        """Create the container (blocking), and return the HostConfig that was asked for."""
        from docker.errors import APIError, ImageNotFound

        listen = f"path:{launch.SOCKET}"
        command = launch.serve_argv(
            python=_PYTHON, listen=listen, lease=spec.lease, disk=spec.disk, streamed=True
        )
        image = self.image if spec.snapshot is None else docker_snapshots.image_of(spec.snapshot)
        arguments = create_arguments(
            api, spec, image=image, runtime=self.runtime, command=command, attempt=attempt
        )
        arguments["host_config"]["AutoRemove"] = self._removes_itself
        try:
            api.create_container(**arguments)
        except ImageNotFound as error:
            if spec.snapshot is not None:
                raise SandboxGone(f"There is no checkpoint {spec.snapshot}.") from error
            raise image_missing(self.image) from error
        except APIError as error:
            if spec.disk is not None and "storage-opt" in reason(error):
                raise disk_unlimited(reason(error)) from error
            raise SandboxStartFailed(f"The engine did not make the container: {reason(error)}.") from error
        except engine_errors() as error:
            raise unavailable(error) from error
        asked: Mapping[str, Any] = arguments["host_config"]
        return asked

    async def _start(self, api: APIClient, name: str, asked: Mapping[str, Any]) -> DockerStream:
        """Start the container, send its program, and return the stream that follows boxd's first line.

        While boxd starts, the container is compared with what was asked for.
        """
        path = f"/v{api.api_version}/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        try:
            output = await hijack(await self._engine.address(), path)
        except RequestRefused as error:
            raise SandboxStartFailed(f"The engine did not attach to the container: {error}.") from error
        except OSError as error:
            raise error if isinstance(error, SandboxError) else unavailable(error) from error
        try:
            output.write_ahead(launch.program())
            await to_the_end(asyncio.to_thread(self._start_container, api, name))
            async with asyncio.timeout(_START_SECONDS):
                await self._started_as_asked(api, name, asked, output)
        except BaseException as error:
            await output.aclose()
            if isinstance(error, TimeoutError):
                raise SandboxStartFailed(
                    f"boxd did not answer within {_START_SECONDS:.0f} s of its start in {self.image}."
                ) from error
            raise
        return output

    async def _started_as_asked(
        self, api: APIClient, name: str, asked: Mapping[str, Any], output: DockerStream
    ) -> None:
        verifying = asyncio.ensure_future(self._engine.ask(verify, api, name, asked))
        try:
            await self._listening(output)
        except BaseException:
            await asyncio.wait([verifying])
            if isinstance(error := verifying.exception(), IsolationUnavailable):
                raise error from None  # a better reason than that boxd did not start
            raise
        await verifying

    def _start_container(self, api: APIClient, name: str) -> None:
        from docker.errors import APIError

        try:
            api.start(name)
        except APIError as error:
            if f'"{_PYTHON}"' in reason(error) and "not found" in reason(error):
                raise unfit(self.image, f"it has no {_PYTHON}") from error
            raise SandboxStartFailed(f"The engine did not start the container: {reason(error)}.") from error
        except engine_errors() as error:
            raise unavailable(error) from error

    async def _listening(self, output: DockerStream) -> None:
        said = b""
        try:
            while launch.READY not in said:
                piece = await output.read(4096)
                if not piece:
                    raise unfit(self.image, "boxd ended without a message")
                said = (said + piece)[-4096:]
        except SandboxUnreachable as error:
            raise unfit(self.image, output.complaint or error.message) from error
        output.unread(said.partition(launch.READY)[2])
        output.ends_with_complaint = True

    async def _stream_ended(self, id: str, end: ContainerEnd) -> None:  # noqa: A002
        """Raise `SandboxUnreachable`, or `SandboxGone` with a known reason if the sandbox has ended.

        The engine closes the streams of a dying container a moment before it knows the container as dead.
        """
        if not await self._engine.ends(container_name(id), within=_DYING_SECONDS):
            raise SandboxUnreachable(f"The stream into the sandbox {id} ended, but the sandbox lives on.")
        why = await end.reason(within=_DYING_SECONDS)
        if why == "out of memory":
            raise SandboxGone(
                f"The sandbox {id} ran out of memory, and was ended with all that was in it.",
                hint="Ask for a larger memory_limit.",
            )
        if why == "killed":
            raise SandboxGone(f"The sandbox {id} was ended from outside, or ran out of memory.")

    async def _stream_refused(self, id: str, error: Exception) -> SandboxError:  # noqa: A002
        """Make the error for a refused stream: sandbox gone, not answering, or no engine at all."""
        if isinstance(error, SandboxError):
            return error
        status = (await self.get(id)).status
        if status == "dead":
            return SandboxGone(f"The sandbox {id} is dead: it was ended from outside or ran out of memory.")
        if status == "unreachable":
            return SandboxUnreachable(
                f"The sandbox {id} is paused.", hint=f"docker unpause {container_name(id)}"
            )
        return SandboxUnreachable(f"The engine gave no stream into the sandbox {id}: {reason(error)}.")


def _has_image(api: APIClient, image: str) -> bool:
    from docker.errors import NotFound

    try:
        api.inspect_image(image)  # type: ignore[no-untyped-call]  # the stubs leave it bare
    except NotFound:
        return False
    return True


async def _attach(api: APIClient, address: Address, name: str) -> DockerStream:
    argv = launch.attach_argv(python=_PYTHON, path=launch.SOCKET)
    made = await asyncio.to_thread(api.exec_create, name, argv, stdin=True, user="0:0")
    return await hijack(address, f"/v{api.api_version}/exec/{made['Id']}/start")


def _remove_attempt(api: APIClient, name: str, attempt: str) -> None:
    """Remove what one attempt to create has made, but never an earlier sandbox of the same name."""
    try:
        found = docker_engine.inspect(api, name)
        if found and (found["Config"]["Labels"] or {}).get(ATTEMPT_LABEL) == attempt:
            docker_engine.remove(api, found["Id"])
    except engine_errors() as error:
        # The reason of the failure is on its way to the caller; boxd's lease ends what runs.
        log.warning("Could not look whether the container %s is gone: %s", name, reason(error))
