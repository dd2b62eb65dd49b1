"""The connection to a Docker Engine: runs docker-py's blocking calls in threads, translates its errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from agent_kernel.errors import EngineUnavailable, SandboxError
from agent_kernel.sandboxes.docker.address import Address
from agent_kernel.sandboxes.optional import ComputeUsage

if TYPE_CHECKING:
    from docker import APIClient, DockerClient

_ANY_VERSION = "1.41"
_SERVER_ERROR = 500

P = ParamSpec("P")
T = TypeVar("T")


def engine_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the exceptions to catch: docker-py's, for an unreachable or failing engine, and `others`."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    return (DockerException, RequestException, *others)


def reason(error: Exception) -> str:
    """Return the engine's error message, without docker-py's wrapping."""
    return str(getattr(error, "explanation", None) or error).strip().rstrip(".")


def unavailable(error: Exception) -> SandboxError:
    """Make the error for an engine that does not answer, fails, or refuses a request.

    A request that is refused (HTTP 4xx) is not an `EngineUnavailable`: the engine works.
    """
    status = getattr(error, "status_code", None)  # of docker-py's APIError: the engine has answered
    if status is not None:
        if status < _SERVER_ERROR:
            return SandboxError(f"The Docker Engine refused a request: {reason(error)} (HTTP {status}).")
        return EngineUnavailable(
            f"The Docker Engine failed: {reason(error)} (HTTP {status}).",
            hint="Look into the engine's log, then try again.",
        )
    if isinstance(error, PermissionError):
        return EngineUnavailable(
            "The Docker Engine's socket is not open to this user.",
            hint="Join its group (sudo usermod -aG docker $USER, then log in again), or set "
            "AGENT_KERNEL_SANDBOX=bubblewrap.",
        )
    return EngineUnavailable(
        f"No Docker Engine answers ({reason(error)}).",
        hint="Start one (Debian: apt-get install docker.io, then dockerd), point DOCKER_HOST at one, or set "
        "AGENT_KERNEL_SANDBOX=bubblewrap.",
    )


def connect(timeout: int = 60) -> DockerClient:
    """Connect to the engine that docker-py finds (blocking). Raises `EngineUnavailable`.

    The one place that looks at DOCKER_HOST and its kin, by docker-py's own rules.
    """
    import docker

    try:
        # With a version given nothing is sent yet: first see by ourselves whether anybody listens, because
        # docker-py would leave its socket open and blur the reason.
        unconnected = docker.from_env(version=_ANY_VERSION)
        address = Address.of(unconnected.api)
        unconnected.close()
        address.knock()
        return docker.from_env(timeout=timeout)
    except EngineUnavailable:
        raise
    except engine_errors(OSError) as error:
        raise unavailable(error) from error


class Engine:
    """One engine, found by docker-py and connected to when first needed."""

    def __init__(self) -> None:
        self._api: APIClient | None = None
        self._connecting = asyncio.Lock()

    async def api(self) -> APIClient:
        """docker-py's low-level client. Raises `EngineUnavailable`; the next call tries again."""
        async with self._connecting:
            if self._api is None:
                self._api = (await asyncio.to_thread(connect)).api
            return self._api

    async def ask(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Make a blocking call in a thread.

        Raises `EngineUnavailable` for an engine that fails or is away, `SandboxError` for a refused request.
        """

        def knock_and_call() -> T:
            if self._api is not None:  # docker-py leaves the socket of a refused connection open
                Address.of(self._api).knock()
            return call(*arguments, **options)

        try:
            return await asyncio.to_thread(knock_and_call)
        except engine_errors(OSError) as error:
            raise error if isinstance(error, SandboxError) else unavailable(error) from error

    async def info(self) -> Mapping[str, Any]:
        """Return what the engine says about itself. Raises `EngineUnavailable`."""
        found: Mapping[str, Any] = await self.ask((await self.api()).info)
        return found

    async def inspect(self, name: str) -> Mapping[str, Any] | None:
        """Return the container of this name, None if there is none. Raises `EngineUnavailable`."""
        return await self.ask(inspect, await self.api(), name)

    async def ends(self, name: str, within: float) -> bool:
        """Return whether the container ends within this many seconds. Raises `EngineUnavailable`."""
        return await self.ask(_ends, await self.api(), name, within)

    async def address(self) -> Address:
        """Return the address for direct connections to the engine. Raises `EngineUnavailable`."""
        return Address.of(await self.api())

    async def aclose(self) -> None:
        """Close docker-py's connections. Idempotent."""
        api, self._api = self._api, None
        if api is not None:
            await asyncio.to_thread(api.close)


def limits_disk(info: Mapping[str, Any]) -> bool:
    """Return whether the storage driver can limit disk space: overlay2 does on XFS with quotas."""
    status = dict(pair for pair in info.get("DriverStatus") or [] if len(pair) == 2)
    if info.get("Driver") in ("overlay2", "overlay"):
        return status.get("Backing Filesystem") == "xfs"
    return info.get("Driver") in ("btrfs", "zfs", "devicemapper", "windowsfilter")


def ends_what_it_should_remove(info: Mapping[str, Any]) -> bool:
    """Return whether the engine keeps containers over its restart, except self-removing ones.

    Engines with live restore before version 25 do so.
    """
    major = str(info.get("ServerVersion", "")).partition(".")[0]
    return bool(info.get("LiveRestoreEnabled")) and not (major.isdigit() and int(major) >= 25)


def inspect(api: APIClient, name: str) -> Mapping[str, Any] | None:
    """Return the container of this name, None if there is none."""
    from docker.errors import APIError, NotFound

    try:
        found: Mapping[str, Any] = api.inspect_container(name)
    except NotFound:
        return None
    except APIError as error:
        if "no such container" in reason(error):  # Podman's word, with status 500, while it removes one
            return None
        raise
    return found


_ONE_SHOT, _AT_ONCE = (1, 41), (1, 44)
"""Versions of the API since which an engine takes a request for one reading alone, and reads at once."""


def stats(api: APIClient, name: str) -> ComputeUsage | None:
    """Return what a container has used, as the engine says; None if it does not run.

    Engines before version 25, and Podman, wait for their own next reading: a second or two.
    """
    from docker.errors import NotFound

    version = tuple(map(int, api.api_version.split(".")))
    try:
        found: Mapping[str, Any] = api.stats(name, stream=False, one_shot=version >= _ONE_SHOT or None)
    except NotFound:
        return None
    try:
        cpu, memory = found["cpu_stats"]["cpu_usage"]["total_usage"], found["memory_stats"]
        held, parts = memory["usage"], memory.get("stats") or {}
    except KeyError:
        return None
    idle = parts.get("total_inactive_file", parts.get("inactive_file", 0))
    return ComputeUsage(cpu / 1e9, max(0, held - idle), slow=version < _AT_ONCE)


def has_image(api: APIClient, image: str) -> bool:
    """Return whether the engine has an image of this name."""
    from docker.errors import NotFound

    try:
        api.inspect_image(image)  # type: ignore[no-untyped-call]  # the stubs leave it bare
    except NotFound:
        return False
    return True


def remove(api: APIClient, name: str) -> None:
    """Kill and remove a container and its volume, and return when it is gone; it may be gone already."""
    from docker.errors import APIError, NotFound

    try:
        api.remove_container(name, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # the engine is removing it at this moment
            raise
        try:
            api.wait(name, condition="removed")
        except NotFound:
            return


def _ends(api: APIClient, name: str, within: float) -> bool:
    from docker.errors import NotFound
    from requests.exceptions import ConnectionError as RequestsConnectionError
    from requests.exceptions import ReadTimeout

    try:
        api.wait(name, timeout=within, condition="not-running")  # type: ignore[arg-type]  # fractions are fine
    except NotFound:
        return True
    except (ReadTimeout, RequestsConnectionError):  # which of the two depends on what had been sent by then
        return inspect(api, name) is None
    return True
