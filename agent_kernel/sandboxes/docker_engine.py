"""The connection to a Docker Engine: docker-py's blocking calls in threads, its errors in our words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from agent_kernel.errors import EngineUnavailable
from agent_kernel.sandboxes.docker_stream import Address

if TYPE_CHECKING:
    from docker import APIClient

P = ParamSpec("P")
T = TypeVar("T")


def engine_errors() -> tuple[type[Exception], ...]:
    """What docker-py raises when an engine does not answer or says no (imported when first needed)."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    return (DockerException, RequestException)


def reason(error: Exception) -> str:
    """The engine's own sentence, without docker-py's wrapping where there is one."""
    return str(getattr(error, "explanation", None) or error).strip().rstrip(".")


def unavailable(error: Exception) -> EngineUnavailable:
    """Wrap what docker-py raised when nobody answered."""
    refused = isinstance(getattr(error, "__context__", None), PermissionError) or "Permission denied" in str(
        error
    )
    if refused:
        return EngineUnavailable(
            "The Docker Engine's socket is not open to this user.",
            mend="Join its group (sudo usermod -aG docker $USER, then log in again), or set "
            "AGENT_KERNEL_SANDBOX=bubblewrap.",
        )
    return EngineUnavailable(
        f"No Docker Engine answers ({reason(error)}).",
        mend="Start one (Debian: apt-get install docker.io, then dockerd), point DOCKER_HOST at one, or set "
        "AGENT_KERNEL_SANDBOX=bubblewrap.",
    )


async def to_the_end(work: Awaitable[T]) -> T:
    """Await work that must not be left half done: a cancellation is only let through when it has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()  # looked at: the cancellation is what the caller hears of
        raise


class Engine:
    """One engine, found by docker-py and connected to when first needed."""

    def __init__(self) -> None:
        self._api: APIClient | None = None
        self._connecting = asyncio.Lock()

    async def api(self) -> APIClient:
        """docker-py's low-level client. Raises `EngineUnavailable`; the next call tries again."""
        async with self._connecting:
            if self._api is None:
                self._api = await self.ask(_connect)
            return self._api

    async def ask(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Make a blocking call in a thread. Whatever goes wrong with the engine is `EngineUnavailable`."""
        try:
            return await asyncio.to_thread(call, *arguments, **options)
        except engine_errors() as error:
            raise unavailable(error) from error

    async def info(self) -> Mapping[str, Any]:
        """What the engine says about itself. Raises `EngineUnavailable`."""
        found: Mapping[str, Any] = await self.ask((await self.api()).info)
        return found

    async def inspect(self, name: str) -> Mapping[str, Any] | None:
        """The container of this name, None if there is none. Raises `EngineUnavailable`."""
        return await self.ask(inspect, await self.api(), name)

    async def address(self) -> Address:
        """Where to open connections of our own. Raises `EngineUnavailable`."""
        return Address.of(await self.api())

    async def aclose(self) -> None:
        """Close docker-py's connections. Idempotent."""
        api, self._api = self._api, None
        if api is not None:
            await asyncio.to_thread(api.close)


def _connect() -> APIClient:
    import docker

    # The one place that looks at DOCKER_HOST and its kin, by docker-py's own rules.
    return docker.from_env().api


def inspect(api: APIClient, name: str) -> Mapping[str, Any] | None:
    """The container of this name, None if there is none."""
    from docker.errors import NotFound

    try:
        found: Mapping[str, Any] = api.inspect_container(name)
    except NotFound:
        return None
    return found


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
