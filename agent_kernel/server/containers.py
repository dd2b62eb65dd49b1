"""`/v1/containers` and the files in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent_kernel.errors import CapabilityMissing, InvalidRequest, NotFound
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.validation import check, shortened
from agent_kernel.runtime.base import TracksChanges
from agent_kernel.runtime.network.base import NetworkedContainers
from agent_kernel.runtime.sessions import AsksSessions
from agent_kernel.runtime.snapshots import KeepsSnapshots
from agent_kernel.server.pages import answer, changed, deleted, listed, paging, path, runtime_of
from agent_kernel.server.streams import FileStream
from agent_kernel.server.uploads import is_json, read_json, read_upload

SINCE = "agent_kernel.since"
"""The query parameter with a mark; empty to get a mark only."""


async def create_container(request: Request) -> Response:
    """Create a container."""
    return answer(await runtime_of(request).create_container(await read_json(request)))


async def list_containers(request: Request) -> Response:
    """List containers."""
    name = request.query_params.get("name")
    return listed(await runtime_of(request).containers.list(name=name, **paging(request)))


async def retrieve_container(request: Request) -> Response:
    """Return a container."""
    return answer(await runtime_of(request).containers.retrieve(path(request, "container_id")))


async def delete_container(request: Request) -> Response:
    """Delete a container and its files."""
    container_id = path(request, "container_id")
    await runtime_of(request).containers.delete(container_id)
    return deleted(container_id, "container.deleted")


async def reset_container(request: Request) -> Response:
    """Begin a fresh shell in a container; its files stay."""
    return answer(await runtime_of(request).containers.reset(path(request, "container_id")))


async def ask_session(request: Request) -> Response:
    """Ask the Python session of a container: completions, help, variables, a table, or its end."""
    containers = runtime_of(request).containers
    if not isinstance(containers, AsksSessions):
        raise NotFound("This server does not show the sessions of containers.")
    found = await containers.ask_session(path(request, "container_id"), await read_json(request))
    return JSONResponse({**found, "object": "agent_kernel.session"})


async def list_mounts(request: Request) -> Response:
    """List the folders of the host that containers may mount, by name."""
    found = await runtime_of(request).containers.mounts()
    data = [{"object": "agent_kernel.mount", "name": name, "path": path} for name, path in found.items()]
    return JSONResponse({"object": "list", "data": data, "has_more": False})


async def create_container_file(request: Request) -> Response:
    """Upload a file into a container, or copy an uploaded file into it by `file_id`."""
    container_id = path(request, "container_id")
    if is_json(request):
        file_id = (await read_json(request)).get("file_id")
        if not isinstance(file_id, str) or not file_id:
            raise InvalidRequest(
                f"file_id must be the id of an uploaded file, not {shortened(file_id)}.", param="file_id"
            )
        return answer(await runtime_of(request).copy_file(container_id, file_id))
    upload = await read_upload(request, request.app.state.upload_limit)
    files = runtime_of(request).containers.files
    return answer(await files.create(container_id, path=upload.filename, content=upload.content))


async def list_container_files(request: Request) -> Response:
    """List the files in a container; with `agent_kernel.since`, those that changed since a mark."""
    files = runtime_of(request).containers.files
    since = request.query_params.get(SINCE)
    if since is not None and isinstance(files, TracksChanges):
        changes = await files.changes(path(request, "container_id"), since=since or None)
        if changes is not None:
            return changed(changes)
    return listed(await files.list(path(request, "container_id"), **paging(request)))


async def retrieve_container_file(request: Request) -> Response:
    """Return the metadata of a file in a container."""
    files = runtime_of(request).containers.files
    return answer(await files.retrieve(path(request, "container_id"), path(request, "file_id")))


async def container_file_content(request: Request) -> Response:
    """Download a file from a container."""
    files = runtime_of(request).containers.files
    return FileStream(files.content(path(request, "container_id"), path(request, "file_id")))


async def delete_container_file(request: Request) -> Response:
    """Delete a file in a container."""
    file_id = path(request, "file_id")
    await runtime_of(request).containers.files.delete(path(request, "container_id"), file_id)
    return deleted(file_id, "container.file.deleted")


async def retrieve_network_bound(request: Request) -> Response:
    """Return the operator's policy, the most that a container's policy may allow."""
    return JSONResponse(dict(await _networked(request).network_bound()))


async def retrieve_network(request: Request) -> Response:
    """Return a container's policy, and what its programs used and were refused."""
    report = await _networked(request).network(path(request, "container_id"))
    return JSONResponse({"object": "agent_kernel.network", **report.to_json()})


async def update_network(request: Request) -> Response:
    """Replace a container's policy. The body is a `network_policy`."""
    policy = await read_json(request)
    return answer(await _networked(request).set_network(path(request, "container_id"), policy))


async def take_snapshot(request: Request) -> Response:
    """Keep what a container holds now: files, packages and shell. It goes on."""
    asked = await _read(request, "SnapshotParams")
    kept = await _keeping(request).snapshot(
        path(request, "container_id"), name=_name(asked) or "", automatic=bool(asked.get("automatic"))
    )
    return JSONResponse(kept.to_json())


async def list_snapshots(request: Request) -> Response:
    """List a container's snapshots, oldest first."""
    found = await _keeping(request).snapshots(path(request, "container_id"))
    return JSONResponse({"object": "list", "data": [each.to_json() for each in found], "has_more": False})


async def delete_snapshot(request: Request) -> Response:
    """Delete a snapshot; the container, and forks of it, stay."""
    snapshot_id = path(request, "snapshot_id")
    await _keeping(request).delete_snapshot(path(request, "container_id"), snapshot_id)
    return deleted(snapshot_id, "agent_kernel.snapshot.deleted")


async def restore_container(request: Request) -> Response:
    """Put a container back to one of its snapshots, under its own id."""
    asked = await _read(request, "RestoreParams")
    restored = await _keeping(request).restore(path(request, "container_id"), asked["snapshot_id"])
    body = {"container": to_json(restored.container), "ended": [*restored.ended], "lost": [*restored.lost]}
    return JSONResponse({"object": "agent_kernel.restored", **body})


async def fork_container(request: Request) -> Response:
    """Create a container from a snapshot of another, or from what that one holds now."""
    asked = await _read(request, "ForkParams")
    container_id, snapshot_id = path(request, "container_id"), asked.get("snapshot_id")
    return answer(await _keeping(request).fork(container_id, snapshot_id=snapshot_id, name=_name(asked)))


async def _read(request: Request, kind: str) -> Mapping[str, Any]:
    given = await read_json(request)
    check(kind, given)
    return given


def _name(asked: Mapping[str, Any]) -> str | None:
    name: str | None = asked.get("name")
    if name is not None and not name.isprintable():
        raise InvalidRequest("name must have no control characters.", param="name")
    return name


def _keeping(request: Request) -> KeepsSnapshots:
    containers = runtime_of(request).containers
    if not isinstance(containers, KeepsSnapshots):
        raise CapabilityMissing("This server keeps no snapshots of containers.")
    return containers


def _networked(request: Request) -> NetworkedContainers:
    containers = runtime_of(request).containers
    if not isinstance(containers, NetworkedContainers):
        raise NotFound("This server does not show the network of containers.")
    return containers
