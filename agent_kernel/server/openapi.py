"""Make the OpenAPI document from the table of endpoints and the types of requests.

The types are those that requests are checked against (`protocol.params`): those of the `openai` package, with
this server's limits on top.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from agent_kernel import __version__
from agent_kernel.protocol.params import REQUESTS, core_schema
from agent_kernel.server.endpoint import Endpoint

_TEXT = {"type": "string"}
_OBJECTS = {"type": "array", "items": {"type": "object", "required": ["type"]}}
_REFERENCE = "#/components/schemas/{model}"
_ITEMS = {"type": "array", "items": {"$ref": _REFERENCE.format(model="InputItem")}}
_FILE = {"type": "string", "format": "binary"}

_SHOWN = (
    "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
    "shell_call", "shell_call_output", "mcp_approval_request", "mcp_approval_response", "item_reference",
    "reasoning", "compaction", "apply_patch_call", "apply_patch_call_output", "code_interpreter_call",
    "computer_call", "computer_call_output", "file_search_call", "image_generation_call", "local_shell_call",
    "local_shell_call_output", "mcp_call", "mcp_list_tools", "program", "program_output", "tool_search_call",
    "tool_search_output", "web_search_call", "additional_tools",
)  # fmt: skip
"""Input items with a schema of their own in the document. Others are accepted, checked and passed on."""

_TURN = ("model", "instructions", "previous_response_id", "conversation")
"""Fields of a turn that compaction and token counts take as well."""


def _object(description: str, properties: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    schema = {"type": "object", "description": description, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


_RESULT_SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": _object(
        "An error.",
        {"error": _object("", {n: {} for n in ("message", "type", "param", "code")}, ["message", "type"])},
        ["error"],
    ),
    "List": _object("A page of a list.", {"object": _TEXT, "data": {"type": "array"}}, ["object", "data"]),
    "Deleted": _object(
        "A deleted resource.", {"id": _TEXT, "deleted": {"type": "boolean"}}, ["id", "deleted"]
    ),
    "Response": _object(
        "openai.types.responses.Response", {"id": _TEXT, "output": {"type": "array"}}, ["id", "output"]
    ),
    "CompactedResponse": _object("openai.types.responses.CompactedResponse", {"id": _TEXT}, ["id"]),
}


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """Return the document's schemas by name. Takes some 50 ms the first time."""
    names = [*REQUESTS, *_SHOWN]
    generator = GenerateJsonSchema(ref_template=_REFERENCE)
    made, found = generator.generate_definitions([(name, "validation", core_schema(name)) for name in names])
    found = _with_any_of(found)
    items = [made[name, "validation"] for name in _SHOWN]
    create = found["ResponseCreateParams"]["properties"]
    turn = {name: create[name] for name in _TURN} | {"input": {"anyOf": [_TEXT, _ITEMS]}}
    turn |= {"tools": {"anyOf": [_OBJECTS, {"type": "null"}]}, "tool_choice": _CHOICE}
    metadata = found["ConversationUpdateParams"]["properties"]["metadata"]
    create.update(turn)
    found["ResponseCreateParams"]["description"] = "openai.types.responses.ResponseCreateParams"
    return {
        **found,
        **_RESULT_SCHEMAS,
        "SkillUpdateParams": _object(
            "openai.types.SkillUpdateParams",
            {"default_version": {"anyOf": [_TEXT, {"type": "integer"}]}},
            ["default_version"],
        ),
        "ContainerSkills": _object("The skills of a container", {"skills": _OBJECTS}, ["skills"]),
        "InputItem": {"anyOf": [*items, {"type": "object"}]},
        "CompactParams": _object("openai.types.responses.ResponseCompactParams", turn, ["model"]),
        "InputTokenCountParams": _object("openai.types.responses.InputTokenCountParams", turn),
        "ConversationCreateParams": _object(
            "openai.types.conversations.ConversationCreateParams",
            {"metadata": metadata, "items": {"anyOf": [_ITEMS, {"type": "null"}]}},
        ),
        "ItemCreateParams": _object(
            "openai.types.conversations.ItemCreateParams", {"items": _ITEMS}, ["items"]
        ),
    }


_CHOICE = {"anyOf": [_TEXT, {"type": "object"}, {"type": "null"}]}


def _with_any_of(schema: Any) -> Any:
    """Write `anyOf` for pydantic's `oneOf`: an object of a known type is also an object of any type."""
    if isinstance(schema, list):
        return [_with_any_of(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {("anyOf" if key == "oneOf" else key): _with_any_of(value) for key, value in schema.items()}


_QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    "order": {"type": "string", "enum": ["asc", "desc"]},
    "stream": {"type": "boolean"},
    "state": {"type": "boolean"},
    "starting_after": {"type": "integer", "minimum": -1, "maximum": 999_999_999},
}

_RESULTS = {
    "object": ("application/json", {"type": "object"}),
    "text": ("text/plain", _TEXT),
    "bytes": ("application/octet-stream", _FILE),
}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = endpoint.path.replace(":path}", "}")
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agent-kernel",
            "version": __version__,
            "description": "A Responses API with shell and containers. docs/api.md says what is supported and"
            " what is this server's own. A WebSocket on /v1/responses has the same events.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
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
    if name in schemas():
        return _json(name)
    if name == "SkillFiles":
        many = {"type": "array", "items": _FILE}
        skill = _object(
            "A skill: one zip archive, or its files with their paths.",
            {"files": _FILE, "files[]": many, "default": {"type": "boolean"}},
        )
        return {"multipart/form-data": {"schema": skill}}
    required = "data" if name == "UploadPart" else "file"
    fields = {required: _FILE} | ({"purpose": _TEXT} if name == "Upload" else {})
    schema = _object("A file to upload.", fields, [required])
    body: dict[str, Any] = {"multipart/form-data": {"schema": schema}}
    if name == "ContainerFile":
        body["application/json"] = {
            "schema": _object("An uploaded file to copy.", {"file_id": _TEXT}, ["file_id"])
        }
    return body


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
