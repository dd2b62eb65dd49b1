"""The types of requests: those of the `openai` package, plus this server's fields and limits.

Validation (`validation`) and the OpenAPI document (`server.openapi`) use the same types. The package's types
are loosened in three ways, because clients and upstreams may be newer or older than the package:

- A field is required only if this server reads it (`_REQUIRED`). Null means absent in any other field.
- A word from a fixed set may be any text, except in fields that this server acts on (`_FIXED`).
- An object whose `type` is unknown is accepted as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from agent_kernel.protocol.requests import documents
from agent_kernel.protocol.requests.shapes import metadata as _metadata
from agent_kernel.protocol.requests.shapes import shape as _shape

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, SchemaValidator

MOST_FILES = 50
"""Maximum number of files that a new container may start with."""

LONGEST_NAME = 256
"""Maximum length of a container's name, in characters."""

MEMORY_LIMITS = {"1g": 1 << 30, "4g": 4 << 30, "16g": 16 << 30, "64g": 64 << 30}
"""Values of `memory_limit`, in bytes."""

CONTAINER_FIELD = "agent_kernel"
"""The field of a request for a container with what the API does not have: limits, a volume, mounts."""

LONGEST_VOLUME = 60
"""Maximum length of a volume's name, in characters."""

MOST_MOUNTS = 16
"""Maximum number of mounts of one container."""

_CREATE = (
    "background", "context_management", "conversation", "include", "instructions", "max_output_tokens",
    "max_tool_calls", "metadata", "model", "parallel_tool_calls", "previous_response_id", "prompt_cache_key",
    "reasoning", "safety_identifier", "service_tier", "store", "stream_options", "temperature", "text",
    "top_logprobs", "top_p", "truncation", "user",
)  # fmt: skip
"""Fields checked by the package's types. The entries of `input` and `tools` are checked one by one."""

_REQUIRED: Mapping[str, frozenset[str]] = {
    "ContextManagement": frozenset({"type"}),
    "ResponseConversationParamParam": frozenset({"id"}),
    "ResponseFunctionToolCallParam": frozenset({"call_id", "name", "arguments"}),
    "FunctionCallOutput": frozenset({"call_id", "output"}),
    "ResponseCustomToolCallParam": frozenset({"call_id"}),
    "ResponseCustomToolCallOutputParam": frozenset({"call_id", "output"}),
    "ShellCall": frozenset({"call_id", "action"}),
    "ShellCallAction": frozenset({"commands"}),
    "ShellCallOutput": frozenset({"call_id", "output"}),
    "ResponseFunctionShellCallOutputContentParam": frozenset({"stdout", "stderr", "outcome"}),
    "McpApprovalResponse": frozenset({"approval_request_id", "approve"}),
    "ItemReference": frozenset({"id"}),
    "ExpiresAfter": frozenset({"anchor", "minutes"}),
    "RestoreParams": frozenset({"snapshot_id"}),
    "Message": frozenset({"role", "content"}),
    **documents.REQUIRED,
}
"""Required fields, by the name of the type."""

_FIXED = frozenset({"type", "role", "anchor", "memory_limit"})
"""Fields in which only the listed words are accepted."""

OTHER = "|other"
"""The branch of a union for objects with an unknown `type`. Branches begin with `|` in error locations."""


def _create() -> Any:
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
    from pydantic import Field
    from typing_extensions import get_type_hints

    count = Annotated[int, Field(ge=1)]
    hints = get_type_hints(ResponseCreateParamsNonStreaming, include_extras=False)
    fields = {
        **{name: hints[name] for name in _CREATE},
        "model": str,
        "metadata": _metadata(),
        "max_output_tokens": count,
        "max_tool_calls": count,
        "top_logprobs": Annotated[int, Field(ge=0, le=20)],
        "stream": bool,
        "generate": bool,
        "client_metadata": dict[str, Any],
        "prompt_cache_options": dict[str, Any],
        "prompt_cache_retention": str,
        "agent_kernel": _shape(
            "AgentKernel", {"budget": _budget(), "approval": Any, "answers": bool}, closed=True
        ),
    }
    return _shape("ResponseCreateParams", fields)


def _budget() -> Any:
    from pydantic import Field

    count = Annotated[int, Field(ge=1)]
    return _shape(
        "Budget",
        {"tokens": count, "tool_calls": count, "seconds": Annotated[float, Field(gt=0)]},
        closed=True,
    )


def _update() -> Any:
    return _shape("ConversationUpdateParams", {"metadata": _metadata()})


def _container() -> Any:
    from openai.types.container_create_params import ExpiresAfter
    from pydantic import Field
    from typing_extensions import get_type_hints

    hints = get_type_hints(ExpiresAfter)
    expiry = _shape("ExpiresAfter", {**hints, "minutes": Annotated[int, Field(ge=1, le=7 * 24 * 60)]})
    fields = {
        "name": Annotated[str, Field(max_length=LONGEST_NAME)],
        "expires_after": expiry,
        "file_ids": Annotated[list[str], Field(max_length=MOST_FILES)],
        "memory_limit": Literal[tuple(MEMORY_LIMITS)],
        "network_policy": dict[str, Any],
        "skills": list[dict[str, Any]],
        CONTAINER_FIELD: _resources(),
    }
    return _shape("ContainerCreateParams", fields)


def _resources() -> Any:
    from pydantic import Field

    fields = {
        "cpus": Annotated[float, Field(ge=0.01, le=4096)],
        "pids": Annotated[int, Field(ge=16, le=1 << 22)],
        "open_files": Annotated[int, Field(ge=64, le=1 << 20)],
        "disk": Annotated[int, Field(ge=16 << 20, le=1 << 50)],
        "volume": Annotated[str, Field(max_length=LONGEST_VOLUME, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")],
        "mounts": Annotated[list[str], Field(max_length=MOST_MOUNTS)],
    }
    return _shape("ContainerResources", fields, closed=True)


def _snapshot() -> Any:
    return _shape("SnapshotParams", {"name": _title(), "automatic": bool}, closed=True)


def _restore() -> Any:
    return _shape("RestoreParams", {"snapshot_id": _title()}, closed=True)


def _fork() -> Any:
    return _shape("ForkParams", {"snapshot_id": _title(), "name": _title()}, closed=True)


def _session() -> Any:
    from pydantic import Field

    fields = {
        "id": _title(),
        "name": _title(),
        "response_id": _title(),
        "container_id": _title(),
        "state": dict[str, Any],
        "notebook": Annotated[str, Field(max_length=4096)],
        "responses": Annotated[list[_title()], Field(max_length=200)],  # type: ignore[misc]
        "revision": Annotated[int, Field(ge=0)],
    }
    return _shape("SessionParams", fields, closed=True)


def _title() -> Any:
    from pydantic import Field

    return Annotated[str, Field(max_length=LONGEST_NAME)]


def _message() -> Any:
    """Return one type for the package's three types of messages, so that errors name one place."""
    from openai.types import responses as r
    from openai.types.responses.response_output_refusal_param import ResponseOutputRefusalParam
    from openai.types.responses.response_output_text_param import ResponseOutputTextParam

    part: Any = (
        r.ResponseInputTextParam
        | r.ResponseInputImageParam
        | r.ResponseInputFileParam
        | ResponseOutputTextParam
        | ResponseOutputRefusalParam
    )
    role = Literal["user", "assistant", "system", "developer"]
    fields = {"type": Literal["message"], "role": role, "content": str | list[part]}
    return _shape("Message", {**fields, "status": str, "id": str, "phase": str})


@lru_cache(maxsize=1)
def item_types() -> Mapping[str, Any]:
    """Return the package's type of each input item, by the item's `type`."""
    from openai.types.responses.response_input_item_param import ResponseInputItemParam
    from typing_extensions import get_type_hints

    found: dict[str, Any] = {}
    for each in get_args(ResponseInputItemParam):
        hint: Any = get_type_hints(each)["type"]
        words = [word for part in (get_args(hint)) for word in (get_args(part) or [part])]
        found[words[0]] = each  # Literal["x"], or Optional[Literal["x"]]
    return {**found, "message": _message()}


REQUESTS: Mapping[str, Callable[[], Any]] = {
    "ResponseCreateParams": _create,
    "ConversationUpdateParams": _update,
    "ContainerCreateParams": _container,
    "SnapshotParams": _snapshot,
    "RestoreParams": _restore,
    "ForkParams": _fork,
    "SessionParams": _session,
    **documents.REQUESTS,
}
"""The types of requests by name. They are made on first use, which imports the `openai` package."""


@cache
def core_schema(name: str) -> CoreSchema:
    """Return pydantic's schema of a request, or of an input item (by its `type`), loosened as above."""
    from pydantic import TypeAdapter

    made = REQUESTS[name]() if name in REQUESTS else item_types()[name]
    schema: Any = TypeAdapter(made).core_schema
    known = {each["ref"]: each for each in schema.get("definitions", ())}
    loosened: CoreSchema = _loosened(schema, known, "")
    return loosened


@cache
def validator(name: str) -> SchemaValidator:
    """Return the validator for `core_schema(name)`. The first call takes a few milliseconds."""
    from pydantic_core import SchemaValidator

    return SchemaValidator(core_schema(name))


def _loosened(node: Any, known: Mapping[str, Any], field: str) -> Any:
    if isinstance(node, list):
        return [_loosened(each, known, field) for each in node]
    if isinstance(node, tuple):
        return tuple(_loosened(each, known, field) for each in node)
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if kind == "typed-dict":
        return _typed_dict(node, known)
    if kind == "literal" and field not in _FIXED and all(isinstance(each, str) for each in node["expected"]):
        return {"type": "str"}
    made = {key: _loosened(value, known, field) for key, value in node.items() if key != "metadata"}
    if kind == "generator":  # lazy in pydantic: it would check nothing
        made = {"type": "list", "items_schema": made["items_schema"]}
    if made.get("type") == "list":
        made["fail_fast"] = True  # a long list of invalid entries costs no more than one
    if kind == "union":
        return _union(made, known)
    return made


_KEPT = ("type", "cls", "cls_name", "ref", "extra_behavior", "config")


def _typed_dict(node: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    required = _REQUIRED.get(getattr(node.get("cls"), "__name__", ""), frozenset())
    fields = {}
    for name, field in node["fields"].items():
        schema = _loosened(field["schema"], known, name)
        if name not in required and schema.get("type") != "nullable":
            schema = {"type": "nullable", "schema": schema}
        fields[name] = {"type": "typed-dict-field", "schema": schema, "required": name in required}
    kept = {
        key: node[key]
        for key in ("type", "cls", "cls_name", "ref", "extra_behavior", "config")
        if key in node
    }
    return {**kept, "fields": fields}


def _union(node: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Choose a branch by `type` if all have one, otherwise label the branches for errors to skip."""
    branches = [each[0] if isinstance(each, tuple) else each for each in node["choices"]]
    tags = [_tag(each, known) for each in branches]
    if all(tags):
        choices = {f"|{tag}": branch for tag, branch in zip(tags, branches, strict=True)}
        choices[OTHER] = {"type": "dict"}

        def chosen(value: Any) -> str:
            tag = f"|{value.get('type')}" if isinstance(value, Mapping) else OTHER
            return tag if tag in choices else OTHER

        return {"type": "tagged-union", "discriminator": chosen, "choices": choices}
    return {**node, "choices": [(branch, f"|{index}") for index, branch in enumerate(branches)]}


def _tag(node: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    if node.get("type") == "definition-ref":
        node = known[node["schema_ref"]]
    schema = (
        node.get("fields", {}).get("type", {}).get("schema", {}) if node.get("type") == "typed-dict" else {}
    )
    while schema.get("type") in ("nullable", "default"):
        schema = schema["schema"]
    return str(schema["expected"][0]) if schema.get("type") == "literal" else None
