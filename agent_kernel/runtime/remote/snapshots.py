"""Snapshots of a remote server's containers, over its extension endpoints."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI
from openai.types import ContainerCreateResponse

from agent_kernel.errors import CapabilityMissing, NotFound, UpstreamInterrupted
from agent_kernel.runtime.remote.errors import address, translated
from agent_kernel.runtime.snapshots import ContainerSnapshot, RestoredContainer

MOST_NAMED = 20
LONGEST_NAMED = 200
_ID = re.compile(r"[\w.-]{0,199}\w", re.ASCII)


class RemoteSnapshots:
    """`/v1/containers/{container_id}/agent_kernel/snapshots`, `restore` and `fork` of a server."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def snapshot(
        self, container_id: str, *, name: str = "", automatic: bool = False
    ) -> ContainerSnapshot:
        """Keep what the container holds now; see `KeepsSnapshots`."""
        body = {"name": name, "automatic": automatic}
        async with self._served():
            return _snapshot(await self._post(container_id, "snapshots", body))

    async def snapshots(self, container_id: str) -> Sequence[ContainerSnapshot]:
        """Return the container's snapshots; see `KeepsSnapshots`."""
        async with self._served():
            where = f"{_container(container_id)}/snapshots"
            found: Any = await self._client.get(where, cast_to=dict[str, Any])
            data = found.get("data")
            return [_snapshot(each) for each in data] if isinstance(data, list) else []

    async def delete_snapshot(self, container_id: str, snapshot_id: str) -> None:
        """Remove one snapshot; see `KeepsSnapshots`."""
        async with self._served():
            where = f"{_container(container_id)}/snapshots/{checked_id(snapshot_id, 'snapshot_id')}"
            await self._client.delete(where, cast_to=dict[str, Any])

    async def restore(self, container_id: str, snapshot_id: str) -> RestoredContainer:
        """Put the container back to one of its snapshots; see `KeepsSnapshots`."""
        async with self._served():
            found = await self._post(container_id, "restore", {"snapshot_id": snapshot_id})
        container = found.get("container")
        if not isinstance(container, Mapping):
            raise _malformed()
        restored = ContainerCreateResponse.construct(**container)
        return RestoredContainer(restored, _words(found.get("ended")), _words(found.get("lost")))

    async def fork(
        self, container_id: str, *, snapshot_id: str | None = None, name: str | None = None
    ) -> ContainerCreateResponse:
        """Create a container from a snapshot, or from what the container holds; see `KeepsSnapshots`."""
        given = {"snapshot_id": snapshot_id, "name": name}
        body = {key: value for key, value in given.items() if value is not None}
        async with self._served():
            return ContainerCreateResponse.construct(**await self._post(container_id, "fork", body))

    async def _post(self, container_id: str, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        where = f"{_container(container_id)}/{what}"
        found: Any = await self._client.post(where, body=dict(body), cast_to=dict[str, Any])
        if not isinstance(found, dict):
            raise _malformed()
        return found

    @asynccontextmanager
    async def _served(self) -> AsyncGenerator[None, None]:
        """Translate errors. A server without these endpoints raises `CapabilityMissing`."""
        try:
            async with translated(self._client):
                yield
        except NotFound as error:
            if error.param is not None:  # the container or the snapshot
                raise
            raise CapabilityMissing(
                f"The server at {address(self._client)} keeps no snapshots of containers.",
                hint="Use an agent-kernel server of this release, or a local runtime.",
            ) from error


def _container(container_id: str) -> str:
    return f"/containers/{checked_id(container_id, 'container_id')}/agent_kernel"


def checked_id(given: str, param: str) -> str:
    """Return an id as part of a path. Raises `NotFound` for what no server can have as an id."""
    if not _ID.fullmatch(given):
        raise NotFound(f"There is no {param} {given[:100]!r}.", param=param)
    return given


def _snapshot(given: Any) -> ContainerSnapshot:
    match given:
        case {"id": str(id), "container_id": str(of), "created_at": int(when), "size": int(size)}:
            name, automatic = given.get("name"), given.get("automatic")
            return ContainerSnapshot(
                id, of, when, size, name if isinstance(name, str) else "", automatic is True
            )
    raise _malformed()


def _words(given: object) -> Sequence[str]:
    """Return texts of a server, which has them of a sandbox: bounded and printable."""
    lines = given[:MOST_NAMED] if isinstance(given, list) else []
    return ["".join(c if c.isprintable() else "?" for c in str(line)[:LONGEST_NAMED]) for line in lines]


def _malformed() -> UpstreamInterrupted:
    return UpstreamInterrupted("The server's answer about a snapshot cannot be read.")
