"""Check a request and split it into what one turn needs. Every error names the wrong parameter."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.base import PASSED_ON
from agent_kernel.policy.rules import Policy
from agent_kernel.protocol.requests.shapes import MOST_PAIRS
from agent_kernel.protocol.validation import check, shortened
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.runtime.approvals.items import read_approval
from agent_kernel.runtime.containers.params import check_params
from agent_kernel.runtime.turns.budgets import Budget, read_budget
from agent_kernel.runtime.turns.input_items import identified, message, read_items
from agent_kernel.tools.additional import with_additional
from agent_kernel.tools.base import Environment, ToolEntry
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.coverage import check_fields, check_include
from agent_kernel.tools.namespaces import flat_choice, shown
from agent_kernel.tools.request import check_choice, environment_of, read_tools

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
    "top_logprobs",
    *PASSED_ON,
)


@dataclass(frozen=True)
class TurnRequest:
    """A request that passed all checks that need neither store nor sandbox."""

    request: Json
    model: str | None
    input: Sequence[Json]
    instructions: str | None
    previous_id: str | None
    store: bool
    tools: Sequence[ToolEntry]
    environment: Environment | None
    settings: Json
    max_tool_calls: int | None
    max_output_tokens: int | None = None
    conversation_id: str | None = None
    background: bool = False
    generate: bool = True
    """False: store the input without asking the model."""
    compact_threshold: int | None = None
    """Tokens of input above which the conversation is compacted first."""
    truncates: bool = True
    """Whether the conversation may be shortened or compacted to fit the model's context window."""
    budget: Budget = Budget()  # noqa: RUF009 (frozen)
    """The budget in the request; the operator's own applies as well."""
    approval: Policy | None = None
    """The approval policy in the request; the operator's own applies as well."""
    include: frozenset[str] = frozenset()
    """The names in `include`."""
    answers: bool = False
    """Whether the client answers questions about the network while the turn runs."""
    file_ids: Sequence[str] = ()
    """Uploaded files that the request's container has."""

    @property
    def input_files(self) -> bool:
        """Whether a tool expects uploaded files where OpenAI's `code_interpreter` has them."""
        return any(
            entry.environment is not None and entry.environment.field == "container" for entry in self.tools
        )

    @property
    def encrypted_reasoning(self) -> bool:
        """Whether the client asked for encrypted reasoning, to send it back later."""
        return "reasoning.encrypted_content" in self.include

    @property
    def logprobs(self) -> bool:
        """Whether the client asked for the log probabilities of the answer's tokens."""
        return "message.output_text.logprobs" in self.include or bool(self.settings.get("top_logprobs"))

    def tools_shown(self, container_id: str | None) -> list[Json]:
        """Return the tools as the response shows them, with `container_auto` replaced by the container.

        Tools that are not served are not among them.
        """
        return list(shown(self.tools, container_id))


def read_request(request: Json) -> TurnRequest:
    """Check a `ResponseCreateParams`. Null means absent. Raises `InvalidRequest`."""
    request = well_formed(dict(request))
    _check_extensions(request)
    check_metadata(request.get("metadata"))
    check("ResponseCreateParams", request)
    check_fields(request)
    check_include(request.get("include") or (), catalogue().include_words)
    conversation_id = _conversation(request)
    items = _input(request.get("input"))
    tools = with_additional(read_tools(request.get("tools")), items)
    for entry in tools:
        _check_environment(entry)
    environment = environment_of(tools)
    settings = {name: request[name] for name in _SETTINGS if request.get(name) is not None}
    if conversation_id is None and request.get("previous_response_id") is None:
        settings = _with_choice(settings, request, tools)
    return TurnRequest(
        request=request,
        model=request.get("model"),
        input=items,
        instructions=request.get("instructions"),
        previous_id=request.get("previous_response_id"),
        store=_store(request),
        tools=tools,
        environment=environment,
        settings=settings,
        max_tool_calls=request.get("max_tool_calls"),
        max_output_tokens=request.get("max_output_tokens"),
        conversation_id=conversation_id,
        background=bool(request.get("background")),
        generate=request.get("generate") is not False,
        include=frozenset(request.get("include") or ()),
        compact_threshold=_compact_threshold(request.get("context_management")),
        truncates=request.get("truncation") != "disabled",
        budget=read_budget(request.get("agent_kernel") or {}),
        approval=read_approval(request),
        answers=bool((request.get("agent_kernel") or {}).get("answers")),
        file_ids=read_file_ids(
            (environment.params if environment else None) or {},
            f"tools.{environment.field}." if environment else "",
        ),
    )


def continued(turn: TurnRequest, earlier: Sequence[Json]) -> TurnRequest:
    """Return the turn with the tools that earlier items of its conversation offer.

    Raises `InvalidRequest` if `tool_choice` names none of them and none of the request's own.
    """
    tools = with_additional(turn.tools, earlier, earlier=True)
    return replace(turn, tools=tools, settings=_with_choice(turn.settings, turn.request, tools))


def _with_choice(settings: Json, request: Json, tools: Sequence[ToolEntry]) -> dict[str, Any]:
    """Return the settings with `tool_choice` in terms of `tools`. Raises `InvalidRequest` if it is none."""
    choice = flat_choice(request.get("tool_choice"), tools)
    check_choice(choice, tools)
    return {**settings, **({"tool_choice": choice} if choice is not None else {})}


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


EXTENSIONS = ("answers", "approval", "budget")
"""The fields that a request may have in `agent_kernel`; docs/extensions.md describes each."""


def _check_extensions(request: Json) -> None:
    """Refuse unknown fields in `agent_kernel`, so that no client relies on one without effect."""
    ours = request.get("agent_kernel")
    unknown = [name for name in request if _is_unknown(name)]
    if isinstance(ours, Mapping):
        unknown += [f"agent_kernel.{name}" for name in ours if name not in EXTENSIONS]
    if unknown:
        known = ", ".join(f"agent_kernel.{name}" for name in EXTENSIONS)
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


def _check_environment(entry: ToolEntry) -> None:
    environment = entry.environment
    if environment is not None and environment.kind == "auto" and environment.params is not None:
        params = {**environment.params, "file_ids": None, "skills": None}
        check_params(params, where=f"{environment.where}.")
