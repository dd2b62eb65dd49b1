"""The table of endpoints, one line each. The routes and the OpenAPI document are made from it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from agent_kernel.errors import NotFound
from agent_kernel.server import containers as c
from agent_kernel.server import conversations as v
from agent_kernel.server import files as f
from agent_kernel.server import responses as r
from agent_kernel.server.documents.endpoints import DOCUMENTS
from agent_kernel.server.endpoint import Endpoint
from agent_kernel.server.pages import path, runtime_of
from agent_kernel.server.sessions import kept as k
from agent_kernel.server.sessions.deletion import delete_session
from agent_kernel.server.skills.endpoints import SKILLS
from agent_kernel.server.socket import ResponsesSocket

PAGE = ("after", "limit", "order")


async def healthz(request: Request) -> Response:
    """Say that the server is up."""
    return JSONResponse({"status": "ok"})


async def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus's text format."""
    return PlainTextResponse(
        await runtime_of(request).measures(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


async def openapi_document(request: Request) -> Response:
    """Return the OpenAPI document."""
    from agent_kernel.server.openapi import document  # it builds schemas: only when asked for

    return JSONResponse(document(ENDPOINTS))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "agent-kernel"}


async def list_models(request: Request) -> Response:
    """List the models that are known without asking an upstream."""
    return JSONResponse({"object": "list", "data": [_model(n) for n in await runtime_of(request).models()]})


async def retrieve_model(request: Request) -> Response:
    """Return one model."""
    name = path(request, "model")
    if name not in await runtime_of(request).models():
        raise NotFound(f"No such model in this list: {name}.", param="model")
    return JSONResponse(_model(name))


_RESPONSES = "/v1/responses"
_RESPONSE = "/v1/responses/{response_id}"
_CONVERSATION = "/v1/conversations/{conversation_id}"
_CONTAINER = "/v1/containers/{container_id}"
_SNAPSHOT = _CONTAINER + "/agent_kernel/snapshots/{snapshot_id}"
_FILE = "/v1/files/{file_id}"
_SESSIONS = "/v1/agent_kernel/sessions"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/healthz", healthz),
    Endpoint("GET", "/metrics", metrics, "text"),
    Endpoint("GET", "/openapi.json", openapi_document),
    Endpoint("POST", _RESPONSES, r.create_response, "Response", "ResponseCreateParams"),
    Endpoint("POST", _RESPONSES + "/compact", r.compact_response, "CompactedResponse", "CompactParams"),
    Endpoint("POST", _RESPONSES + "/input_tokens", r.count_input_tokens, body="InputTokenCountParams"),
    Endpoint("GET", _RESPONSE, r.retrieve_response, "Response", query=("stream", "starting_after")),
    Endpoint("DELETE", _RESPONSE, r.delete_response, "Deleted"),
    Endpoint("POST", _RESPONSE + "/cancel", r.cancel_response, "Response"),
    Endpoint("POST", _RESPONSE + "/agent_kernel/approvals", r.answer_question),
    Endpoint("GET", _RESPONSE + "/input_items", r.list_input_items, "List", query=PAGE),
    Endpoint("POST", "/v1/conversations", v.create_conversation, body="ConversationCreateParams"),
    Endpoint("GET", _CONVERSATION, v.retrieve_conversation),
    Endpoint("POST", _CONVERSATION, v.update_conversation, body="ConversationUpdateParams"),
    Endpoint("DELETE", _CONVERSATION, v.delete_conversation, "Deleted"),
    Endpoint("POST", _CONVERSATION + "/items", v.create_items, "List", "ItemCreateParams"),
    Endpoint("GET", _CONVERSATION + "/items", v.list_items, "List", query=PAGE),
    Endpoint("GET", _CONVERSATION + "/items/{item_id}", v.retrieve_item),
    Endpoint("DELETE", _CONVERSATION + "/items/{item_id}", v.delete_item),
    Endpoint("GET", "/v1/models", list_models, "List"),
    Endpoint("GET", "/v1/models/{model:path}", retrieve_model),
    Endpoint("POST", "/v1/containers", c.create_container, body="ContainerCreateParams"),
    Endpoint("GET", "/v1/containers", c.list_containers, "List", query=(*PAGE, "name")),
    Endpoint("GET", "/v1/containers/agent_kernel/mounts", c.list_mounts, "List"),
    Endpoint("GET", "/v1/containers/agent_kernel/network", c.retrieve_network_bound),
    Endpoint("GET", _CONTAINER, c.retrieve_container),
    Endpoint("DELETE", _CONTAINER, c.delete_container, "Deleted"),
    Endpoint("POST", _CONTAINER + "/agent_kernel/reset", c.reset_container),
    Endpoint("POST", _CONTAINER + "/agent_kernel/session", c.ask_session),
    Endpoint("GET", _CONTAINER + "/agent_kernel/network", c.retrieve_network),
    Endpoint("POST", _CONTAINER + "/agent_kernel/network", c.update_network),
    Endpoint("POST", _CONTAINER + "/agent_kernel/snapshots", c.take_snapshot, body="SnapshotParams"),
    Endpoint("GET", _CONTAINER + "/agent_kernel/snapshots", c.list_snapshots, "List"),
    Endpoint("DELETE", _SNAPSHOT, c.delete_snapshot, "Deleted"),
    Endpoint("POST", _CONTAINER + "/agent_kernel/restore", c.restore_container, body="RestoreParams"),
    Endpoint("POST", _CONTAINER + "/agent_kernel/fork", c.fork_container, body="ForkParams"),
    Endpoint("POST", _CONTAINER + "/files", c.create_container_file, body="ContainerFile"),
    Endpoint("GET", _CONTAINER + "/files", c.list_container_files, "List", query=(*PAGE, c.SINCE)),
    Endpoint("GET", _CONTAINER + "/files/{file_id}", c.retrieve_container_file),
    Endpoint("DELETE", _CONTAINER + "/files/{file_id}", c.delete_container_file, "Deleted"),
    Endpoint("GET", _CONTAINER + "/files/{file_id}/content", c.container_file_content, "bytes"),
    Endpoint("POST", _SESSIONS, k.keep_session, body="SessionParams"),
    Endpoint("GET", _SESSIONS, k.list_sessions, "List"),
    Endpoint("GET", _SESSIONS + "/{session_id}", k.retrieve_session, query=("state",)),
    Endpoint("DELETE", _SESSIONS + "/{session_id}", k.forget_session, "Deleted"),
    Endpoint("DELETE", _SESSIONS + "/{session_id}/everything", delete_session),
    Endpoint("POST", "/v1/files", f.upload_file, body="Upload"),
    Endpoint("GET", "/v1/files", f.list_files, "List", query=(*PAGE, "purpose")),
    Endpoint("GET", _FILE, f.retrieve_file),
    Endpoint("DELETE", _FILE, f.delete_file, "Deleted"),
    Endpoint("GET", _FILE + "/content", f.file_content, "bytes"),
    *DOCUMENTS,
    *SKILLS,
)

ROUTES: list[BaseRoute] = [
    WebSocketRoute(_RESPONSES, ResponsesSocket),
    *(Route(each.path, each.handler, methods=[each.method]) for each in ENDPOINTS),
]
