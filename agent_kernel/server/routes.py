"""The endpoints: each reads its request, calls the runtime, and writes the answer."""

from __future__ import annotations

from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.fold import afold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.base import Order, Page, Runtime
from agent_kernel.server.streams import EventStream, FileStream, while_connected
from agent_kernel.server.uploads import read_json, read_upload


def _runtime(request: Request) -> Runtime:
    return cast(Runtime, request.app.state.runtime)


def _deleted(id: str, kind: str) -> JSONResponse:  # noqa: A002
    return JSONResponse({"id": id, "object": kind, "deleted": True})


async def healthz(request: Request) -> Response:
    """Say that the server is up."""
    return JSONResponse({"status": "ok"})


async def create_response(request: Request) -> Response:
    """Run a turn, streamed or folded. A client that leaves ends the turn."""
    body = await read_json(request)
    events = _runtime(request).respond(body)
    if body.get("stream"):
        return EventStream(events)
    return JSONResponse(to_json(await while_connected(request.scope, request.receive, afold(events))))


async def retrieve_response(request: Request) -> Response:
    """Return a stored response."""
    if request.query_params.get("stream", "false") not in ("false", "0"):
        raise InvalidRequest("A stored response cannot be streamed here.", param="stream")
    return JSONResponse(to_json(await _runtime(request).retrieve(request.path_params["response_id"])))


async def delete_response(request: Request) -> Response:
    """Delete a stored response."""
    response_id = request.path_params["response_id"]
    await _runtime(request).delete(response_id)
    return _deleted(response_id, "response")


async def list_models(request: Request) -> Response:
    """Name the models that can be asked for."""
    names = await _runtime(request).models()
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "agent-kernel"} for name in names]
    return JSONResponse({"object": "list", "data": data})


async def create_container(request: Request) -> Response:
    """Make a container."""
    return JSONResponse(to_json(await _runtime(request).containers.create(await read_json(request))))


async def list_containers(request: Request) -> Response:
    """Return a page of the containers."""
    name = request.query_params.get("name")
    return _page(await _runtime(request).containers.list(name=name, **_paging(request)))


async def retrieve_container(request: Request) -> Response:
    """Return one container."""
    return JSONResponse(to_json(await _runtime(request).containers.retrieve(_container(request))))


async def delete_container(request: Request) -> Response:
    """End a container."""
    await _runtime(request).containers.delete(_container(request))
    return _deleted(_container(request), "container.deleted")


async def create_file(request: Request) -> Response:
    """Upload a file, streamed into the container."""
    path, content = await read_upload(request, request.app.state.upload_limit)
    files = _runtime(request).containers.files
    return JSONResponse(to_json(await files.create(_container(request), path=path, content=content)))


async def list_files(request: Request) -> Response:
    """Return a page of a container's files."""
    return _page(await _runtime(request).containers.files.list(_container(request), **_paging(request)))


async def retrieve_file(request: Request) -> Response:
    """Return one file's metadata."""
    file = await _runtime(request).containers.files.retrieve(_container(request), _file(request))
    return JSONResponse(to_json(file))


async def file_content(request: Request) -> Response:
    """Download a file."""
    return FileStream(_runtime(request).containers.files.content(_container(request), _file(request)))


async def delete_file(request: Request) -> Response:
    """Remove a file."""
    await _runtime(request).containers.files.delete(_container(request), _file(request))
    return _deleted(_file(request), "container.file.deleted")


def _container(request: Request) -> str:
    return str(request.path_params["container_id"])


def _file(request: Request) -> str:
    return str(request.path_params["file_id"])


def _paging(request: Request) -> dict[str, Any]:
    limit = request.query_params.get("limit", "20")
    if not limit.isdecimal() or len(limit) > 9:
        raise InvalidRequest("limit must be from 1 to 100.", param="limit")
    order = cast(Order, request.query_params.get("order", "desc"))
    return {"after": request.query_params.get("after"), "limit": int(limit), "order": order}


def _page(page: Page[Any]) -> JSONResponse:
    return JSONResponse(
        {
            "object": "list",
            "data": [to_json(resource) for resource in page.data],
            "first_id": page.data[0].id if page.data else None,
            "last_id": page.data[-1].id if page.data else None,
            "has_more": page.has_more,
        }
    )


_FILES = "/v1/containers/{container_id}/files"

ROUTES = [
    Route("/healthz", healthz, methods=["GET"]),
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/responses", create_response, methods=["POST"]),
    Route("/v1/responses/{response_id}", retrieve_response, methods=["GET"]),
    Route("/v1/responses/{response_id}", delete_response, methods=["DELETE"]),
    Route("/v1/containers", create_container, methods=["POST"]),
    Route("/v1/containers", list_containers, methods=["GET"]),
    Route("/v1/containers/{container_id}", retrieve_container, methods=["GET"]),
    Route("/v1/containers/{container_id}", delete_container, methods=["DELETE"]),
    Route(_FILES, create_file, methods=["POST"]),
    Route(_FILES, list_files, methods=["GET"]),
    Route(_FILES + "/{file_id}", retrieve_file, methods=["GET"]),
    Route(_FILES + "/{file_id}", delete_file, methods=["DELETE"]),
    Route(_FILES + "/{file_id}/content", file_content, methods=["GET"]),
]
