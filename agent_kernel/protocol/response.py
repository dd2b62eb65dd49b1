"""The response object: before the model has produced anything, and its snapshot while it is created."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from openai.types.responses.response import ToolUsage
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from agent_kernel.protocol import items as t
from agent_kernel.protocol.deltas import Usage, made_upstream
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import Response
from agent_kernel.protocol.states import Act, State, follow

A = TypeVar("A", bound=t.ResponseStreamEvent)

MOST_NOTICES = 20
"""Notices of one response; later ones are dropped."""

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

_ECHOED = ("prompt_cache_options", "prompt_cache_retention")
"""Fields that a response shows only if the request has them."""

_NO_USAGE: Mapping[str, Any] = {
    "image_gen": {
        "input_tokens": 0,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        "total_tokens": 0,
    },
    "web_search": {"num_requests": 0},
}


@cache
def no_usage() -> ToolUsage:
    """Return the `tool_usage` of a response that has used no tool, always the same object.

    It is left out where a model's server draws: nobody but that server knows it.
    """
    return ToolUsage.construct(**_NO_USAGE)


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
    values |= {name: request[name] for name in _ECHOED if request.get(name) is not None}
    if not any(tool.get("type") == "image_generation" for tool in tools):
        values["tool_usage"] = no_usage()
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


def error_event(
    code: str, message: str, number: int, *, kind: str = "server_error", param: str | None = None
) -> t.ResponseErrorEvent:
    """Make an `error` event with sequence number `number`.

    Its fields appear twice: flat, as in the package's type, and nested in `error`, because then the package's
    client raises instead of yielding the event.
    """
    fields: dict[str, Any] = {"code": code, "message": message, "param": param}
    return t.ResponseErrorEvent.construct(
        type="error", sequence_number=number, **fields, error={"type": kind, **fields}
    )


def totals(response: Response, steps: Sequence[Usage]) -> dict[str, Any]:
    """Return the fields of a response that its end adds: `usage`, and what servers say beside it."""
    tiers = [step.service_tier for step in steps if step.service_tier is not None]
    found: dict[str, Any] = {"usage": total_usage(steps)}
    if tiers:
        found["service_tier"] = tiers[-1]
    if (tools := _tool_usage(response, steps)) is not None:
        found["tool_usage"] = no_usage() if tools == _NO_USAGE else ToolUsage.construct(**tools)
    return found


def total_usage(steps: Sequence[Usage]) -> t.ResponseUsage:
    """Return the sum over all steps. It is zero if no model reported any: strict clients reject null."""
    taken = sum(step.input_tokens for step in steps)
    given = sum(step.output_tokens for step in steps)
    return t.ResponseUsage(
        input_tokens=taken,
        input_tokens_details=InputTokensDetails(
            cached_tokens=sum(step.cached_tokens for step in steps), cache_write_tokens=0
        ),
        output_tokens=given,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=sum(step.reasoning_tokens for step in steps)
        ),
        total_tokens=taken + given,
    )


def _tool_usage(response: Response, steps: Sequence[Usage]) -> dict[str, Any] | None:
    """Return the `tool_usage`, None if it is not known: the model's server draws, and does not tell."""
    drawn = [step.drawn for step in steps if step.drawn is not None]
    if response.tool_usage is None and not drawn:
        return None
    images: Any = _NO_USAGE["image_gen"]
    for each in drawn:
        images = _sum(images, each)
    return {"image_gen": images, "web_search": {"num_requests": _searches(response, steps)}}


def _searches(response: Response, steps: Sequence[Usage]) -> int:
    """Return the searches here, and those that servers counted; theirs by their items if they did not."""
    here = theirs = 0
    for item in response.output:
        if item.type == "web_search_call":
            is_search = getattr(getattr(item, "action", None), "type", None) == "search"
            if made_upstream({"agent_kernel": getattr(item, "agent_kernel", None)}) is None:
                here += is_search
            else:
                theirs += is_search
    counted = [step.searches for step in steps if step.searches is not None]
    return here + (sum(counted) if counted else theirs)


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sums of the numbers of `one` and the same in `other`, at every level."""
    return {
        name: _sum(value, other.get(name) or {}) if isinstance(value, Mapping) else value + other.get(name, 0)
        for name, value in one.items()
    }


def any_value(value: str) -> Any:
    """Return a value outside the package's enumeration: its client accepts it, its types do not."""
    return value


class ResponseSnapshot:
    """The part of an assembler that knows the response itself, but no item.

    `response` is the current snapshot: its `output` holds the finished items, in the order of their index.
    """

    def __init__(self, response: t.Response) -> None:
        self.response = response
        self._numbers = itertools.count()
        self._indices = itertools.count()
        self._state = State.NEW
        self._queued = self._restored = False
        self._finished: dict[int, t.ResponseOutputItem] = {}

    def queue(self) -> Events:
        """Emit `response.created` and `response.queued`, both with status `queued`. `begin` follows later."""
        if self._state is not State.NEW or self._queued:
            raise RuntimeError("Only a new response can be queued.")
        self._queued = True
        self._update(status="queued")
        created = self._about(t.ResponseCreatedEvent, "response.created")
        return [created, self._about(t.ResponseQueuedEvent, "response.queued")]

    def begin(self) -> Events:
        """Emit `response.created` and `response.in_progress`; for a queued response only the latter."""
        if self._restored:
            return []
        self._state = follow(self._state, Act.BEGIN)
        opening = [] if self._queued else [self._about(t.ResponseCreatedEvent, "response.created")]
        self._update(status="in_progress")
        return [*opening, self._about(t.ResponseInProgressEvent, "response.in_progress")]

    def next_number(self) -> int:
        """Return the next sequence number, for an event that the assembler does not emit."""
        return next(self._numbers)

    def notice(self, text: str, instead_of: str | None = None) -> None:
        """Add a line for the user to the response: something that they should know about its model.

        It goes into `agent_kernel.notices` of the response, which its last event shows. A repeated line is
        dropped. `instead_of` is an earlier line that this one replaces.
        """
        ours = getattr(self.response, "agent_kernel", None) or {}
        notices = [line for line in ours.get("notices", []) if line != instead_of]
        if text not in notices and len(notices) < MOST_NOTICES:
            self._update(agent_kernel={**ours, "notices": [*notices, text]})

    def network(self, used: Sequence[Mapping[str, Any]]) -> None:
        """Record in `agent_kernel.network` the destinations that the turn's programs connected to."""
        ours = getattr(self.response, "agent_kernel", None) or {}
        self._update(agent_kernel={**ours, "network": list(used)})

    def compute(self, used: Mapping[str, float]) -> None:
        """Record in `agent_kernel.compute` what the turn's container has used."""
        ours = getattr(self.response, "agent_kernel", None) or {}
        self._update(agent_kernel={**ours, "compute": dict(used)})

    def context(self, tokens: int, window: int) -> None:
        """Record in `agent_kernel.context` how full the model's context window is, in tokens."""
        ours = getattr(self.response, "agent_kernel", None) or {}
        self._update(agent_kernel={**ours, "context": {"tokens": tokens, "window": window}})

    def _about(self, kind: type[A], name: str) -> A:
        event: Any = kind.construct(type=name, response=self.response, sequence_number=next(self._numbers))
        return cast(A, event)

    def _update(self, **changes: Any) -> None:
        # A new object each time: events that were emitted keep the response of that time.
        self.response = self.response.model_copy(update=changes)
