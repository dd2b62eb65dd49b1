"""Containers and files of a remote server, through the `openai` client."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Any

import openai
from openai import AsyncOpenAI, omit
from openai.types import ContainerCreateResponse
from openai.types.containers import FileCreateResponse

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.base import FileChanges, Order, Page
from agent_kernel.runtime.containers.files import workspace_path
from agent_kernel.runtime.network.base import DISABLED, NetworkReport
from agent_kernel.runtime.remote.errors import translated
from agent_kernel.runtime.remote.snapshots import RemoteSnapshots
from agent_kernel.sandboxes.base import WORKSPACE

TRANSFER_TIMEOUT = openai.Timeout(None, connect=10.0)
CHUNK = 64 << 10


class RemoteContainers(RemoteSnapshots):
    """`/v1/containers` of a server."""

    def __init__(self, client: AsyncOpenAI) -> None:
        super().__init__(client)
        self._files = RemoteContainerFiles(client)

    @property
    def files(self) -> RemoteContainerFiles:
        """The files in the containers."""
        return self._files

    async def create(self, params: Mapping[str, Any]) -> ContainerCreateResponse:
        """Create a container; see `Containers.create`."""
        async with translated(self._client):
            return await self._client.post(
                "/containers", body={"name": "", **params}, cast_to=ContainerCreateResponse
            )

    async def list(
        self, *, after: str | None = None, limit: int = 20, order: Order = "desc", name: str | None = None
    ) -> Page[ContainerCreateResponse]:
        """Return a page of the containers."""
        async with translated(self._client):
            found = await self._client.containers.list(
                after=after or omit, limit=limit, order=order, name=name or omit
            )
        data = [ContainerCreateResponse.construct(**to_json(each)) for each in found.data]
        return Page(data, bool(found.has_more))

    async def retrieve(self, container_id: str) -> ContainerCreateResponse:
        """Return a container."""
        async with translated(self._client):
            found = await self._client.containers.retrieve(container_id)
        return ContainerCreateResponse.construct(**to_json(found))

    async def reset(self, container_id: str) -> ContainerCreateResponse:
        """Begin a fresh shell; see `Containers.reset`."""
        async with translated(self._client):
            return await self._client.post(
                f"/containers/{container_id}/agent_kernel/reset", cast_to=ContainerCreateResponse
            )

    async def ask_session(self, container_id: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the Python session of a container; see `runtime.sessions.AsksSessions`."""
        where = f"/containers/{container_id}/agent_kernel/session"
        async with translated(self._client):
            return await self._client.post(where, body=dict(question), cast_to=dict[str, Any])

    async def mounts(self) -> Mapping[str, str]:
        """Return the folders that can be mounted; see `Containers.mounts`."""
        try:
            async with translated(self._client):
                found = await self._client.get("/containers/agent_kernel/mounts", cast_to=dict[str, Any])
        except NotFound:
            return {}
        return {str(each["name"]): str(each["path"]) for each in found["data"]}

    async def network_bound(self) -> Mapping[str, Any]:
        """Return the operator's policy; see `NetworkedContainers`."""
        try:
            async with translated(self._client):
                return await self._client.get("/containers/agent_kernel/network", cast_to=dict[str, Any])
        except NotFound:
            return DISABLED

    async def network(self, container_id: str) -> NetworkReport:
        """Return a container's policy and what it used; see `NetworkedContainers`."""
        where = f"/containers/{container_id}/agent_kernel/network"
        async with translated(self._client):
            return NetworkReport.of_json(await self._client.get(where, cast_to=dict[str, Any]))

    async def set_network(self, container_id: str, policy: Mapping[str, Any]) -> ContainerCreateResponse:
        """Replace a container's policy; see `NetworkedContainers`."""
        where = f"/containers/{container_id}/agent_kernel/network"
        async with translated(self._client):
            return await self._client.post(where, body=dict(policy), cast_to=ContainerCreateResponse)

    async def delete(self, container_id: str) -> None:
        """Delete a container."""
        async with translated(self._client):
            await self._client.containers.delete(container_id)


class RemoteContainerFiles:
    """`/v1/containers/{container_id}/files` of a server."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def create(
        self, container_id: str, *, path: str, content: AsyncIterable[bytes], size: int | None = None
    ) -> FileCreateResponse:
        """Upload a file as it is read; see `ContainerFiles.create`."""
        name = workspace_path(path).removeprefix(WORKSPACE + "/")
        boundary = secrets.token_hex(16)
        head, tail = _framing(name, boundary)
        # Case does not matter to servers; for the lower-case spelling the client would make a body of its
        # own, which cannot be streamed from an async source.
        headers = {"Content-Type": f"Multipart/Form-Data; boundary={boundary}"}
        if size is not None:  # said in advance, so that one that is too large is refused before it is sent
            headers["Content-Length"] = str(len(head) + size + len(tail))

        async def body() -> AsyncGenerator[bytes, None]:
            yield head
            async for chunk in content:
                yield chunk
            yield tail

        async with translated(self._client):
            return await self._client.post(
                f"/containers/{container_id}/files",
                cast_to=FileCreateResponse,
                content=body(),
                options={"headers": headers, "timeout": TRANSFER_TIMEOUT},
            )

    async def list(
        self, container_id: str, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[FileCreateResponse]:
        """Return a page of the files."""
        async with translated(self._client):
            found = await self._client.containers.files.list(
                container_id, after=after or omit, limit=limit, order=order
            )
        data = [FileCreateResponse.construct(**to_json(each)) for each in found.data]
        return Page(data, bool(found.has_more))

    async def changes(self, container_id: str, *, since: str | None = None) -> FileChanges | None:
        """Return what changed since a mark; None from a server that only lists. See `TracksChanges`."""
        try:
            async with translated(self._client):
                found: Any = await self._client.containers.files.list(
                    container_id, limit=1, extra_query={"agent_kernel.since": since or ""}
                )
        except NotFound:
            raise
        except InvalidRequest:  # it refuses the parameter, or the container has expired: listing tells
            return None
        ours = (found.model_extra or {}).get("agent_kernel")
        if not isinstance(ours, Mapping) or not isinstance(ours.get("mark"), str):
            return None
        data = [FileCreateResponse.construct(**to_json(each)) for each in found.data]
        return FileChanges(data, int(ours.get("count") or 0), ours["mark"], ours.get("known") is True)

    async def retrieve(self, container_id: str, file_id: str) -> FileCreateResponse:
        """Return a file's metadata."""
        async with translated(self._client):
            found = await self._client.containers.files.retrieve(file_id, container_id=container_id)
        return FileCreateResponse.construct(**to_json(found))

    async def content(self, container_id: str, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes in chunks."""
        async with translated(self._client):
            request = self._client.containers.files.content.with_streaming_response.retrieve(
                file_id, container_id=container_id, timeout=TRANSFER_TIMEOUT
            )
            async with request as response:
                async for chunk in response.iter_bytes(CHUNK):
                    yield chunk

    async def delete(self, container_id: str, file_id: str) -> None:
        """Remove the file."""
        async with translated(self._client):
            await self._client.containers.files.delete(file_id, container_id=container_id)


def _framing(name: str, boundary: str) -> tuple[bytes, bytes]:
    """Return what surrounds one file in a multipart body, written as browsers do."""
    for plain, escaped in (("\\", "\\\\"), ('"', "%22"), ("\r", "%0D"), ("\n", "%0A")):
        name = name.replace(plain, escaped)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode("utf-8", "surrogateescape"), f"\r\n--{boundary}--\r\n".encode()
