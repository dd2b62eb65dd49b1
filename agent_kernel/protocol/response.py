"""The response object before the model has produced anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.protocol.items import Response

# Strict clients (the Agents SDK of other languages, schema-checking test suites) reject a response that lacks
# one of these fields, even if its value would be null.
_DEFAULTS: dict[str, Any] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}

_OBJECTS = ("reasoning", "text")
_FUNCTION_TOOL: dict[str, Any] = {"description": None, "parameters": None, "strict": True}


def new_response(
    request: Mapping[str, Any],
    *,
    id: str,  # noqa: A002 (the field's own word)
    model: str,
    tools: Sequence[Mapping[str, Any]],
    created_at: float,
) -> Response:
    """Make the initial response to `request`: status `in_progress`, no output yet.

    `tools` are those of the request with the container already resolved (`container_auto` becomes a
    `container_reference`, as the API shows it); `created_at` is in seconds since the epoch and becomes a
    whole number. Fields that the request leaves out or sets to null get the API's default. Unknown tool
    types and fields are passed through, never refused.
    """
    values = {name: _echoed(name, request.get(name)) for name in _DEFAULTS}
    return Response.construct(
        **values,
        id=id,
        object="response",
        created_at=int(created_at),
        completed_at=None,
        status="in_progress",
        error=None,
        incomplete_details=None,
        model=model,
        output=[],
        tools=[_tool(tool) for tool in tools],
        usage=None,
    )


def _echoed(name: str, asked: Any) -> Any:
    default = _DEFAULTS[name]
    if asked is None:
        return dict(default) if isinstance(default, dict) else default
    if name in _OBJECTS and isinstance(asked, Mapping):
        return {**default, **asked}
    return asked


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {**_FUNCTION_TOOL, **tool} if tool.get("type") == "function" else dict(tool)
