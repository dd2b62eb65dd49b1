"""Check a request and split it into what one turn needs. Every error names the wrong parameter."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent_kernel.errors import InvalidRequest
from agent_kernel.policy.rules import Policy
from agent_kernel.protocol.params import MOST_PAIRS
from agent_kernel.protocol.validation import check, shortened
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.runtime.approvals.items import read_approval
from agent_kernel.runtime.containers.params import check_params
from agent_kernel.runtime.turns.budgets import Budget, read_budget
from agent_kernel.runtime.turns.input_items import identified, message, read_items

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


@dataclass(frozen=True)
class ShellEnvironment:
    """Where shell calls run: in a new or reused container (`auto`), in a given one, or by the client."""

    kind: Literal["auto", "reference", "local"]
    tool_index: int
    container_id: str | None = None
    params: Json | None = None


@dataclass(frozen=True)
class TurnRequest:
    """A request that passed all checks that need neither store nor sandbox."""

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
    max_output_tokens: int | None = None
    conversation_id: str | None = None
    background: bool = False
    generate: bool = True
    """False: store the input without asking the model."""
    compact_threshold: int | None = None
    """Tokens of input above which the conversation is compacted first."""
    budget: Budget = Budget()  # noqa: RUF009 (frozen)
    """The budget in the request; the operator's own applies as well."""
    approval: Policy | None = None
    """The approval policy in the request; the operator's own applies as well."""
    encrypted_reasoning: bool = False
    """Whether the client asked for encrypted reasoning, to send it back later."""
    file_ids: Sequence[str] = ()
    """Uploaded files that a container created for this turn starts with."""

    def tools_shown(self, container_id: str | None) -> list[Json]:
        """Return the tools as the response shows them, with `container_auto` replaced by the container."""
        shown: list[Json] = [dict(tool) for tool in self.tools]
        if self.shell is not None and container_id is not None:
            environment = {"type": "container_reference", "container_id": container_id}
            index = self.shell.tool_index
            shown[index] = {**shown[index], "environment": environment}
        return shown


def read_request(request: Json) -> TurnRequest:
    """Check a `ResponseCreateParams`. Null means absent. Raises `InvalidRequest`."""
    request = well_formed(dict(request))
    _check_extensions(request)
    check_metadata(request.get("metadata"))
    check("ResponseCreateParams", request)
    if request.get("prompt"):
        raise InvalidRequest("prompt is not supported by this server.", param="prompt")
    conversation_id = _conversation(request)
    tools = _tools(request.get("tools"))
    shell = _shell(tools)
    settings = {name: request[name] for name in _SETTINGS if request.get(name) is not None}
    if shell is None and settings.get("tool_choice") in ({"type": "shell"}, "shell"):
        raise InvalidRequest(
            "tool_choice asks for the shell, but it is not among the tools.", param="tool_choice"
        )
    return TurnRequest(
        request=request,
        model=request.get("model"),
        input=_input(request.get("input")),
        instructions=request.get("instructions"),
        previous_id=request.get("previous_response_id"),
        store=_store(request),
        shell=shell,
        functions=[tool for tool in tools if tool["type"] == "function"],
        tools=tools,
        settings=settings,
        max_tool_calls=request.get("max_tool_calls"),
        max_output_tokens=request.get("max_output_tokens"),
        conversation_id=conversation_id,
        background=bool(request.get("background")),
        generate=request.get("generate") is not False,
        encrypted_reasoning="reasoning.encrypted_content" in (request.get("include") or ()),
        compact_threshold=_compact_threshold(request.get("context_management")),
        budget=read_budget(request.get("agent_kernel") or {}),
        approval=read_approval(request),
        file_ids=read_file_ids((shell.params if shell else None) or {}, "tools.environment."),
    )


def _conversation(request: Json) -> str | None:
    given = request.get("conversation")
    if given is None:
        return None
    name: str = given["id"] if isinstance(given, Mapping) else given
    if not name:
        raise InvalidRequest("conversation must be the id of a conversation, not ''.", param="conversation")
    if request.get("previous_response_id") is not None:
        raise InvalidRequest(
            "conversation and previous_response_id cannot be given together.", param="previous_response_id"
        )
    return name


def _store(request: Json) -> bool:
    store = request.get("store") is not False
    if request.get("background") and not store:
        raise InvalidRequest(
            "store must not be false with background: the response is read from the store.", param="store"
        )
    return store


def _compact_threshold(entries: Sequence[Json] | None) -> int | None:
    threshold = None
    for index, entry in enumerate(entries or ()):
        tokens: int | None = entry.get("compact_threshold")
        if entry["type"] != "compaction" or tokens is None:
            continue
        if tokens < 1:
            where = f"context_management[{index}].compact_threshold"
            raise InvalidRequest(f"{where} must be at least 1, not {shortened(tokens)}.", param=where)
        threshold = tokens
    return threshold


def read_file_ids(params: Json, where: str = "") -> list[str]:
    """Return the `file_ids` that a container starts with. Raises `InvalidRequest`."""
    given = params.get("file_ids") or []
    check("ContainerCreateParams", {"file_ids": given}, where.removesuffix("."))
    return list(given)


EXTENSIONS = ("approval", "budget")
"""What a request may say in `agent_kernel`; docs/extensions.md describes each."""


def _check_extensions(request: Json) -> None:
    """Refuse names of ours that this server does not know: a client must not believe that they work."""
    ours = request.get("agent_kernel")
    unknown = [name for name in request if _is_unknown(name)]
    if isinstance(ours, Mapping):
        unknown += [f"agent_kernel.{name}" for name in ours if name not in EXTENSIONS]
    if unknown:
        known = " and ".join(f"agent_kernel.{name}" for name in EXTENSIONS)
        raise InvalidRequest(
            f"Unknown request field {unknown[0]}.",
            hint=f"The extensions of a request are {known}, in an object named agent_kernel.",
            param=unknown[0],
            code="unknown_parameter",
        )


def without_unknown(request: Json) -> Json:
    """Return a stored request without the fields that earlier versions added to it."""
    return {name: value for name, value in request.items() if not _is_unknown(name)}


def _is_unknown(name: str) -> bool:
    return name.startswith("agent_kernel.")


def check_metadata(metadata: object) -> None:
    """Check that `metadata` has at most 16 pairs of text. Raises `InvalidRequest`."""
    if isinstance(metadata, Mapping) and len(metadata) > MOST_PAIRS:  # before pydantic looks at each of them
        raise InvalidRequest(f"metadata may have at most {MOST_PAIRS} entries.", param="metadata")
    check("ConversationUpdateParams", {"metadata": metadata})


def _input(given: object) -> list[Json]:
    if isinstance(given, str):
        return [identified(message("user", given))]
    if isinstance(given, Sequence):
        return read_items(given, "input")
    raise InvalidRequest(f"input must be a string or a list, not {shortened(given)}.", param="input")


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
        tools.append(tool)
    unserved = {tool["type"] for tool in tools} - {"shell", "function"}
    if unserved:
        names = ", ".join(map(repr, sorted(unserved)))
        log.info("Tools of these types are not served here, and not offered to the model: %s.", names)
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
            check_params({**environment, "file_ids": None, "skills": None}, where=where + ".")
            return ShellEnvironment("auto", index, params=environment)
        case "container_reference":
            container_id = environment.get("container_id")
            if not isinstance(container_id, str) or not container_id:
                raise InvalidRequest(f"{where}.container_id is missing.", param=where + ".container_id")
            return ShellEnvironment("reference", index, container_id=container_id)
        case "local":
            return ShellEnvironment("local", index, params=environment)
    raise InvalidRequest(
        f"{where}.type must be container_auto, container_reference or local.", param=where + ".type"
    )
