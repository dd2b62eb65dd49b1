"""The OpenAPI document, made from the table of endpoints.

Bodies are described as far as this server itself looks at them; their whole shapes are those of the `openai`
package's types, which the descriptions name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agent_kernel import __version__
from agent_kernel.server.endpoint import Endpoint

_TEXT = {"type": "string"}
_METADATA = {"type": ["object", "null"], "additionalProperties": _TEXT}
_INPUT = {"anyOf": [_TEXT, {"type": "array", "items": {"type": "object"}}]}


def _object(description: str, properties: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    schema = {"type": "object", "description": description, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


_TURN: dict[str, Any] = {
    "model": {"type": ["string", "null"]},
    "input": _INPUT,
    "instructions": {"type": ["string", "null"]},
    "previous_response_id": {"type": ["string", "null"]},
    "conversation": {"anyOf": [_TEXT, {"type": "object"}, {"type": "null"}]},
    "tools": {"type": ["array", "null"], "items": {"type": "object", "required": ["type"]}},
    "tool_choice": {"anyOf": [_TEXT, {"type": "object"}, {"type": "null"}]},
}
_CREATE = {
    **_TURN,
    "stream": {"type": ["boolean", "null"]},
    "store": {"type": ["boolean", "null"]},
    "background": {"type": ["boolean", "null"]},
    "metadata": _METADATA,
    "temperature": {"type": ["number", "null"]},
    "top_p": {"type": ["number", "null"]},
    "max_output_tokens": {"type": ["integer", "null"], "minimum": 1},
    "max_tool_calls": {"type": ["integer", "null"], "minimum": 1},
    "parallel_tool_calls": {"type": ["boolean", "null"]},
    "reasoning": {"type": ["object", "null"]},
    "text": {"type": ["object", "null"]},
    "context_management": {"type": ["array", "null"], "items": {"type": "object"}},
}
_FILE = {"type": "string", "format": "binary"}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": _object(
        "What went wrong.",
        {"error": _object("", {n: {} for n in ("message", "type", "param", "code")}, ["message", "type"])},
        ["error"],
    ),
    "List": _object("A page.", {"object": _TEXT, "data": {"type": "array"}}, ["object", "data"]),
    "Deleted": _object("What is gone.", {"id": _TEXT, "deleted": {"type": "boolean"}}, ["id", "deleted"]),
    "Response": _object(
        "openai.types.responses.Response", {"id": _TEXT, "output": {"type": "array"}}, ["id", "output"]
    ),
    "CompactedResponse": _object("openai.types.responses.CompactedResponse", {"id": _TEXT}, ["id"]),
    "ResponseCreateParams": _object("openai.types.responses.ResponseCreateParams", _CREATE),
    "CompactParams": _object("openai.types.responses.ResponseCompactParams", _TURN, ["model"]),
    "InputTokenCountParams": _object("openai.types.responses.InputTokenCountParams", _TURN),
    "ConversationCreateParams": _object(
        "openai.types.conversations.ConversationCreateParams",
        {"metadata": _METADATA, "items": {"type": ["array", "null"], "items": {"type": "object"}}},
    ),
    "ConversationUpdateParams": _object(
        "openai.types.conversations.ConversationUpdateParams", {"metadata": _METADATA}
    ),
    "ItemCreateParams": _object(
        "openai.types.conversations.ItemCreateParams",
        {"items": {"type": "array", "items": {"type": "object"}}},
        ["items"],
    ),
    "ContainerCreateParams": _object(
        "openai.types.ContainerCreateParams",
        {"name": _TEXT, "file_ids": {"type": "array", "items": _TEXT}, "expires_after": {"type": "object"}},
    ),
}

_QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    "order": {"type": "string", "enum": ["asc", "desc"]},
    "stream": {"type": "boolean"},
    "starting_after": {"type": "integer", "minimum": -1, "maximum": 999_999_999},
}

_RESULTS = {
    "object": ("application/json", {"type": "object"}),
    "text": ("text/plain", _TEXT),
    "bytes": ("application/octet-stream", _FILE),
}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Make the document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = endpoint.path.replace(":path}", "}")
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agent-kernel",
            "version": __version__,
            "description": "A Responses API with shell and containers. docs/api.md says what is served, what"
            " is tolerated, and what is this server's own. The same events are spoken over a WebSocket on"
            " /v1/responses.",
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}, {}],
    }


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", path)
    in_path = [
        {"name": n, "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}} for n in names
    ]
    in_query = [{"name": n, "in": "query", "schema": _QUERY.get(n, _TEXT)} for n in endpoint.query]
    refused = {"description": "Refused.", "content": _json("Error")}
    operation: dict[str, Any] = {
        "operationId": getattr(endpoint.handler, "__name__", path),
        "summary": (endpoint.handler.__doc__ or "").strip().partition("\n")[0],
        "parameters": [*in_path, *in_query],
        "responses": {"200": _result(endpoint), "4XX": refused, "5XX": refused},
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _body(endpoint.body)}
    return operation


def _result(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.result not in _RESULTS:
        content = _json(endpoint.result)
        if endpoint.result == "Response":
            content["text/event-stream"] = {"schema": _TEXT}
        return {"description": "Done.", "content": content}
    kind, schema = _RESULTS[endpoint.result]
    return {"description": "Done.", "content": {kind: {"schema": schema}}}


def _body(name: str) -> dict[str, Any]:
    if name in SCHEMAS:
        return _json(name)
    fields = {"file": _FILE} if name == "ContainerFile" else {"purpose": _TEXT, "file": _FILE}
    body: dict[str, Any] = {"multipart/form-data": {"schema": _object("A file.", fields, ["file"])}}
    if name == "ContainerFile":
        body["application/json"] = {"schema": _object("A copy.", {"file_id": _TEXT}, ["file_id"])}
    return body


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
