"""The tools that the server offers: containers, commands, Python, files and snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import Field

from agent_kernel.errors import CapabilityMissing
from agent_kernel.mcp_server import files as f
from agent_kernel.mcp_server import running
from agent_kernel.mcp_server.callers import Call, Callers, told
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.base import Containers
from agent_kernel.runtime.snapshots import KeepsSnapshots

MOST_CONTAINERS = 100

LOOKS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
REMOVES = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
RUNS = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=True)

ContainerId = Annotated[str, Field(description="The id of a container, as create_container returns it.")]
Seconds = Annotated[float | None, Field(gt=0, description="Stop it after this many seconds.")]
Path = Annotated[str, Field(description="Path of a file, absolute or relative to /mnt/data.")]

_SHOWN = ("id", "name", "status", "created_at", "last_active_at", "memory_limit", "network_policy")


def add_tools(server: MCPServer[Any], callers: Callers) -> None:
    """Add all tools to a server."""
    _add_containers(server, callers)
    _add_runs(server, callers)
    _add_files(server, callers)
    _add_snapshots(server, callers)


def _add_containers(server: MCPServer[Any], callers: Callers) -> None:
    @server.tool(annotations=CHANGES)
    @told
    async def create_container(
        call: Call,
        name: Annotated[
            str | None, Field(description="Name it to keep it after this session; else it is removed.")
        ] = None,
        memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None,
        allowed_domains: Annotated[
            list[str] | None, Field(description="Hosts it may connect to. The operator's policy applies too.")
        ] = None,
    ) -> dict[str, Any]:
        """Create a sandbox with a shell, Python and a folder for files, /mnt/data."""
        params: dict[str, Any] = {"name": name or "mcp"}
        if memory_limit is not None:
            params["memory_limit"] = memory_limit
        if allowed_domains:
            params["network_policy"] = {"type": "allowlist", "allowed_domains": allowed_domains}
        created = to_json(await callers.runtime(call).containers.create(params))
        if name is None:
            callers.created(created["id"])
        return _shown(created)

    @server.tool(annotations=LOOKS)
    @told
    async def list_containers(call: Call, name: str | None = None) -> dict[str, Any]:
        """List the newest containers, at most 100, of all or of one name."""
        page = await callers.runtime(call).containers.list(limit=MOST_CONTAINERS, name=name)
        return {"containers": [_shown(to_json(each)) for each in page.data], "has_more": page.has_more}

    @server.tool(annotations=REMOVES)
    @told
    async def delete_container(call: Call, container_id: ContainerId) -> dict[str, Any]:
        """End a container and remove everything in it."""
        await callers.runtime(call).containers.delete(container_id)
        callers.deleted(container_id)
        return {"id": container_id, "deleted": True}


def _add_runs(server: MCPServer[Any], callers: Callers) -> None:
    @server.tool(annotations=RUNS, structured_output=False)
    @told
    async def run_command(
        call: Call,
        container_id: ContainerId,
        command: Annotated[str, Field(description="One or more lines of bash.")],
        timeout_seconds: Seconds = None,
    ) -> CallToolResult | InputRequiredResult:
        """Run a command in the container's shell, which keeps its directory and variables between calls."""
        return await running.run(callers, call, running.shell(container_id, command, timeout_seconds))

    @server.tool(annotations=RUNS, structured_output=False)
    @told
    async def run_python(
        call: Call,
        container_id: ContainerId,
        code: Annotated[str, Field(description="Python code; the value of its last expression is shown.")],
        timeout_seconds: Seconds = None,
    ) -> CallToolResult | InputRequiredResult:
        """Run Python in the container's session, which keeps its variables. Figures come back as pictures."""
        return await running.run(callers, call, running.python(container_id, code, timeout_seconds))


def _add_files(server: MCPServer[Any], callers: Callers) -> None:
    @server.tool(annotations=LOOKS, structured_output=False)
    @told
    async def read_file(
        call: Call,
        container_id: ContainerId,
        path: Path,
        offset: Annotated[int, Field(ge=0, description="Byte at which to begin, for long text.")] = 0,
    ) -> CallToolResult:
        """Read a file below /mnt/data: text, a picture, or other bytes as a resource; at most 1 MiB."""
        return await f.read(callers.runtime(call).containers.files, container_id, path, offset)

    @server.tool(annotations=REMOVES)
    @told
    async def write_file(
        call: Call,
        container_id: ContainerId,
        path: Path,
        content: str,
        encoding: Annotated[
            Literal["text", "base64"], Field(description="base64: the content is bytes in base64.")
        ] = "text",
    ) -> dict[str, Any]:
        """Write a whole file below /mnt/data. An existing one is replaced."""
        files = callers.runtime(call).containers.files
        return _file(await f.write(files, container_id, path, content, encoding))

    @server.tool(annotations=LOOKS)
    @told
    async def list_files(call: Call, container_id: ContainerId) -> dict[str, Any]:
        """List the files below /mnt/data, newest first, at most 1,000."""
        files = callers.runtime(call).containers.files
        found, is_all = await f.listed(files, container_id, f.MOST_LISTED)
        return {"files": [_file(each) for each in found], "complete": is_all}


def _add_snapshots(server: MCPServer[Any], callers: Callers) -> None:
    @server.tool(annotations=CHANGES)
    @told
    async def make_snapshot(call: Call, container_id: ContainerId, name: str = "") -> dict[str, Any]:
        """Keep what the container holds now, to go back to it later."""
        kept = await _snapshots(callers.runtime(call).containers).snapshot(container_id, name=name)
        return kept.to_json()

    @server.tool(annotations=LOOKS)
    @told
    async def list_snapshots(call: Call, container_id: ContainerId) -> dict[str, Any]:
        """List the container's snapshots, oldest first."""
        kept = await _snapshots(callers.runtime(call).containers).snapshots(container_id)
        return {"snapshots": [each.to_json() for each in kept]}

    @server.tool(annotations=REMOVES)
    @told
    async def restore_snapshot(call: Call, container_id: ContainerId, snapshot_id: str) -> dict[str, Any]:
        """Put the container back to a snapshot. Its processes end; what came after the snapshot is lost."""
        containers = _snapshots(callers.runtime(call).containers)
        restored = await containers.restore(container_id, snapshot_id)
        lost = {"ended": list(restored.ended), "lost": list(restored.lost)}
        return {**_shown(to_json(restored.container)), **lost}

    @server.tool(annotations=REMOVES)
    @told
    async def delete_snapshot(call: Call, container_id: ContainerId, snapshot_id: str) -> dict[str, Any]:
        """Remove one snapshot."""
        await _snapshots(callers.runtime(call).containers).delete_snapshot(container_id, snapshot_id)
        return {"id": snapshot_id, "deleted": True}


def _snapshots(containers: Containers) -> KeepsSnapshots:
    if not isinstance(containers, KeepsSnapshots):
        raise CapabilityMissing("This runtime keeps no snapshots of containers.")
    return containers


def _shown(container: Mapping[str, Any]) -> dict[str, Any]:
    return {name: container[name] for name in _SHOWN if container.get(name) is not None}


def _file(found: Any) -> dict[str, Any]:
    return {"path": found.path, "bytes": found.bytes}
