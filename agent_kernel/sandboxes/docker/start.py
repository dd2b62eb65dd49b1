"""Starts a sandbox's container: creates it, compares it with the request, and waits until boxd listens."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import (
    IsolationUnavailable,
    SandboxError,
    SandboxGone,
    SandboxStartFailed,
    SandboxUnreachable,
)
from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.docker import engine as docker_engine
from agent_kernel.sandboxes.docker import podman
from agent_kernel.sandboxes.docker import snapshots as docker_snapshots
from agent_kernel.sandboxes.docker.address import RequestRefused
from agent_kernel.sandboxes.docker.container import ATTEMPT_LABEL, container_name, create_arguments
from agent_kernel.sandboxes.docker.engine import Engine, engine_errors, reason, unavailable
from agent_kernel.sandboxes.docker.refusals import disk_unlimited, image_missing, unfit
from agent_kernel.sandboxes.docker.stream import DockerStream, hijack
from agent_kernel.sandboxes.docker.verification import verify
from agent_kernel.sandboxes.near.uninterrupted import to_the_end

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)

PYTHON = "python3"
"""The interpreter that the image must have on its PATH."""

_START_SECONDS = 60.0  # from the start request to boxd's word that it listens


@dataclass(frozen=True)
class StartedContainer:
    """A container that has started: the stream that boxd listens on, and what the engine says about it."""

    stream: DockerStream
    container: Mapping[str, Any]


class ContainerStart:
    """Starts containers of one image under one runtime (None: the engine's default).

    With `removes_itself` the engine removes the container at its end. `podman` says which engine it is.
    """

    def __init__(
        self, engine: Engine, image: str, runtime: str | None, *, removes_itself: bool, podman: bool = False
    ) -> None:
        self.image = image
        self.runtime = runtime
        self._engine = engine
        self._removes_itself = removes_itself
        self._podman = podman

    async def run(self, spec: SandboxSpec) -> StartedContainer:
        """Make and start the container of a sandbox, and return it with the stream that boxd listens on.

        Raises `ImageMissing`, `SandboxGone` (no such checkpoint), `LimitUnavailable`, `SandboxStartFailed`,
        `IsolationUnavailable`, `EngineUnavailable`. A failure or a cancellation removes the container first.
        """
        api = await self._engine.api()
        name = container_name(spec.id)
        attempt = uuid.uuid4().hex
        try:
            asked = await to_the_end(self._engine.ask(self._make, api, spec, attempt))
            return await self._start(api, name, asked)
        except BaseException:
            await to_the_end(asyncio.to_thread(_remove_attempt, api, name, attempt))
            raise

    def _make(self, api: APIClient, spec: SandboxSpec, attempt: str) -> Mapping[str, Any]:
        """Create the container (blocking), and return the requested HostConfig."""
        from docker.errors import APIError, ImageNotFound

        listen = f"path:{launch.SOCKET}"
        command = launch.serve_argv(
            python=PYTHON,
            listen=listen,
            lease=spec.lease,
            disk=spec.disk,
            network=spec.network,
            streamed=True,
        )
        image = self.image if spec.snapshot is None else docker_snapshots.image_of(spec.snapshot)
        arguments = create_arguments(
            api, spec, image=image, runtime=self.runtime, command=command, attempt=attempt
        )
        arguments["host_config"]["AutoRemove"] = self._removes_itself and not spec.keep
        if self._podman:
            arguments["host_config"]["Ulimits"] = podman.limits(arguments["host_config"]["Ulimits"])
        try:
            if self._podman and spec.volume is not None:
                podman.make_volume(api, spec.volume)
            api.create_container(**arguments)
        except ImageNotFound as error:
            if spec.snapshot is not None:
                raise SandboxGone(f"There is no checkpoint {spec.snapshot}.") from error
            raise image_missing(self.image) from error
        except APIError as error:
            if spec.disk is not None and "storage-opt" in reason(error):
                raise disk_unlimited(reason(error)) from error
            raise SandboxStartFailed(f"The engine did not create the container: {reason(error)}.") from error
        except engine_errors() as error:
            raise unavailable(error) from error
        asked: Mapping[str, Any] = arguments["host_config"]
        return asked

    async def _start(self, api: APIClient, name: str, asked: Mapping[str, Any]) -> StartedContainer:
        """Start the container, send its program, and return the stream that follows boxd's first line.

        While boxd starts, the container is compared with what was requested.
        """
        path = f"/v{api.api_version}/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        try:
            output = await hijack(await self._engine.address(), path, None)
        except RequestRefused as error:
            raise SandboxStartFailed(f"The engine did not attach to the container: {error}.") from error
        except OSError as error:
            raise error if isinstance(error, SandboxError) else unavailable(error) from error
        try:
            output.write_ahead(launch.program())
            await to_the_end(asyncio.to_thread(self._start_container, api, name))
            async with asyncio.timeout(_START_SECONDS):
                found = await self._started_as_asked(api, name, asked, output)
        except BaseException as error:
            await output.aclose()
            if isinstance(error, TimeoutError):
                raise SandboxStartFailed(
                    f"boxd did not answer within {_START_SECONDS:.0f} s of its start in {self.image}."
                ) from error
            raise
        return StartedContainer(output, found)

    async def _started_as_asked(
        self, api: APIClient, name: str, asked: Mapping[str, Any], output: DockerStream
    ) -> Mapping[str, Any]:
        verifying = asyncio.ensure_future(self._engine.ask(verify, api, name, asked))
        try:
            await self._listening(output)
        except BaseException:
            await asyncio.wait([verifying])
            if isinstance(error := verifying.exception(), IsolationUnavailable):
                raise error from None  # a better reason than that boxd did not start
            raise
        return await verifying

    def _start_container(self, api: APIClient, name: str) -> None:
        from docker.errors import APIError

        try:
            api.start(name)
        except APIError as error:
            if f'"{PYTHON}"' in reason(error) and "not found" in reason(error):
                raise unfit(self.image, f"it has no {PYTHON}") from error
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


def _remove_attempt(api: APIClient, name: str, attempt: str) -> None:
    """Remove what one attempt to create has made, but never an earlier sandbox of the same name."""
    try:
        found = docker_engine.inspect(api, name)
        if found and (found["Config"]["Labels"] or {}).get(ATTEMPT_LABEL) == attempt:
            docker_engine.remove(api, found["Id"])
    except engine_errors() as error:
        # The reason of the failure is on its way to the caller; boxd's lease ends what runs.
        log.warning("Could not check whether the container %s is gone: %s", name, reason(error))
