"""A request, checked: what one turn is to do. Every error names the parameter that is wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.container_params import check_params
from agent_kernel.runtime.wellformed import well_formed

log = logging.getLogger(__name__)

Json = Mapping[str, Any]

_SETTINGS = (
    "temperature",
    "top_p",
    "max_output_tokens",
    "reasoning",
    "text",
    "tool_choice",
    "parallel_tool_calls",
)
_NUMBERS = ("temperature", "top_p", "max_output_tokens", "max_tool_calls")
_OBJECTS = ("reasoning", "text", "metadata")
_STRINGS = ("model", "instructions", "previous_response_id")
_ROLES = ("user", "assistant", "system", "developer")


OUTPUT_OF = {
    "function_call": "function_call_output",
    "shell_call": "shell_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
"""Which item answers which call; both carry the same `call_id`."""


@dataclass(frozen=True)
class ShellEnvironment:
    """Where shell calls run: `auto` (made or reused), `reference` (that one), `local` (by the client)."""

    kind: Literal["auto", "reference", "local"]
    tool_index: int
    container_id: str | None = None
    params: Json | None = None


@dataclass(frozen=True)
class Turn:
    """One request after all checks that need neither store nor sandbox."""

    request: Json
    model: str | None
    input: Sequence[Json]
    instructions: str | None
    previous_id: str | None
    store: bool
    shell: ShellEnvironment | None
    functions: Sequence[Json]
    tools: Sequence[Json]
    settings: Json
    max_tool_calls: int | None

    def tools_shown(self, container_id: str | None) -> list[Json]:
        """The tools as the response shows them: `container_auto` has become a reference to the container."""
        shown: list[Json] = [dict(tool) for tool in self.tools]
        if self.shell is not None and container_id is not None:
            environment = {"type": "container_reference", "container_id": container_id}
            index = self.shell.tool_index
            shown[index] = {**shown[index], "environment": environment}
        return shown


def read_request(request: Json) -> Turn:
    """Check a `ResponseCreateParams`. Null means the same as absent. Raises `InvalidRequest`."""
    request = well_formed(dict(request))
    _check_types(request)
    for unserved in ("background", "conversation", "prompt"):
        if request.get(unserved):
            raise InvalidRequest(f"{unserved} is not served here.", param=unserved)
    tools = _tools(request.get("tools"))
    shell = _shell(tools)
    settings = {name: request[name] for name in _SETTINGS if request.get(name) is not None}
    if shell is None and settings.get("tool_choice") in ({"type": "shell"}, "shell"):
        raise InvalidRequest(
            "tool_choice asks for the shell, but it is not among the tools.", param="tool_choice"
        )
    return Turn(
        request=request,
        model=request.get("model"),
        input=_input(request.get("input")),
        instructions=request.get("instructions"),
        previous_id=request.get("previous_response_id"),
        store=request.get("store") is not False,
        shell=shell,
        functions=[tool for tool in tools if tool["type"] == "function"],
        tools=tools,
        settings=settings,
        max_tool_calls=request.get("max_tool_calls"),
    )


def _check_types(request: Json) -> None:
    for name in _STRINGS:
        if not isinstance(request.get(name), str | None):
            raise InvalidRequest(f"{name} must be a string.", param=name)
    for name in _NUMBERS:
        value = request.get(name)
        if not isinstance(value, int | float | None) or isinstance(value, bool):
            raise InvalidRequest(f"{name} must be a number.", param=name)
    for name in _OBJECTS:
        if not isinstance(request.get(name), Mapping | None):
            raise InvalidRequest(f"{name} must be an object.", param=name)


def _input(given: object) -> list[Json]:
    if isinstance(given, str):
        return [message("user", given)]
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise InvalidRequest("input must be a string or a list of items.", param="input")
    return [_item(item, f"input[{index}]") for index, item in enumerate(given)]


def _item(item: object, where: str) -> Json:
    if not isinstance(item, Mapping):
        raise InvalidRequest(f"{where} must be an object.", param=where)
    kind = item.get("type", "message")
    if not isinstance(kind, str):
        raise InvalidRequest(f"{where}.type must be a string.", param=f"{where}.type")
    if kind == "item_reference":
        raise InvalidRequest(
            "item_reference is not served here.",
            mend="Send the item itself, or continue with previous_response_id.",
            param=where,
        )
    if kind == "message":
        if item.get("role") not in _ROLES:
            raise InvalidRequest(f"{where}.role must be one of {', '.join(_ROLES)}.", param=f"{where}.role")
        if not isinstance(item.get("content"), str | Sequence):
            raise InvalidRequest(f"{where}.content must be a string or a list.", param=f"{where}.content")
    elif kind in (*OUTPUT_OF, *OUTPUT_OF.values()):
        call_id = item.get("call_id")
        if not isinstance(call_id, str) or not call_id:
            raise InvalidRequest(f"{where}.call_id must be a string.", param=f"{where}.call_id")
    return {**item, "type": kind}


def message(role: str, text: str) -> Json:
    """An input message of one text."""
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def _tools(given: object) -> list[Json]:
    if given is None:
        return []
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise InvalidRequest("tools must be a list.", param="tools")
    tools: list[Json] = []
    for index, tool in enumerate(given):
        if not isinstance(tool, Mapping) or not isinstance(tool.get("type"), str):
            raise InvalidRequest(f"tools[{index}] must be an object with a type.", param=f"tools[{index}]")
        if tool["type"] == "function" and not isinstance(tool.get("name"), str):
            raise InvalidRequest(f"tools[{index}].name is missing.", param=f"tools[{index}].name")
        if tool["type"] not in ("shell", "function"):
            log.warning("Tools of type %r are not served here; the model is not offered it.", tool["type"])
        tools.append(tool)
    return tools


def _shell(tools: Sequence[Json]) -> ShellEnvironment | None:
    indices = [index for index, tool in enumerate(tools) if tool["type"] == "shell"]
    if not indices:
        return None
    if len(indices) > 1:
        raise InvalidRequest("The shell tool may be given once.", param=f"tools[{indices[1]}]")
    index = indices[0]
    where = f"tools[{index}].environment"
    environment = tools[index].get("environment")
    if environment is None:  # absent: this server has sandboxes, so the commands run in one
        environment = {"type": "container_auto"}
    if not isinstance(environment, Mapping):
        raise InvalidRequest(f"{where} must be an object.", param=where)
    match environment.get("type"):
        case "container_auto":
            check_params(environment, where=where + ".")
            return ShellEnvironment("auto", index, params=environment)
        case "container_reference":
            container_id = environment.get("container_id")
            if not isinstance(container_id, str) or not container_id:
                raise InvalidRequest(f"{where}.container_id is missing.", param=where + ".container_id")
            return ShellEnvironment("reference", index, container_id=container_id)
        case "local":
            return ShellEnvironment("local", index)
    raise InvalidRequest(
        f"{where}.type must be container_auto, container_reference or local.", param=where + ".type"
    )
