"""The body of a request to the Messages API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.anthropic.computer import BETA, NEXT, TOOL, Form, offered_computer, spec_of
from agent_kernel.models.anthropic.details import Details
from agent_kernel.models.anthropic.messages import Message, translate
from agent_kernel.models.base import ModelRequest
from agent_kernel.models.conversation import function_name
from agent_kernel.models.offered import Offered
from agent_kernel.protocol.validation import shortened

Json = Mapping[str, Any]

ANSWER, ANSWER_OF_UNKNOWN = 32_000, 8_192
"""Tokens of an answer if the request sets no limit: the API demands one. The second is for models whose own
limit is not known."""

_SAMPLING = ("temperature", "top_p")
_BUDGETS = {"low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 31_999}
"""Tokens of thinking for each effort, for models that take a budget."""
_LEAST_BUDGET = 1_024
_TIERS = {"auto": "auto", "priority": "auto", "default": "standard_only"}
_EFFORTS = {"minimal": "low"}


@dataclass(frozen=True)
class Accepted:
    """The features that a server is assumed to have until it refuses them."""

    reasoning: bool = True
    """`thinking` and the effort."""
    thoughts: bool = True
    """Thinking of earlier steps, sent back."""
    computer: Form = "toolset"
    """The form of the tool `computer`."""

    def without(self, error: str) -> Accepted | None:
        """Return the features without the one that an error refuses, None if it refuses none of them."""
        error = error.lower()
        names = ("thinking", "effort", "output_config")
        if self.thoughts and ("signature" in error or "cannot be modified" in error):
            return replace(self, thoughts=False)
        if self.computer != "function" and "computer" in error:
            return replace(self, computer=NEXT[self.computer])
        if self.reasoning and any(each in error for each in names):
            return replace(self, reasoning=False)
        if self.thoughts and "thinking" in error:
            return replace(self, thoughts=False)
        return None


def body_of(request: ModelRequest, details: Details, accepted: Accepted, origin: str) -> dict[str, Any]:
    """Return the body. `origin` names the model, see `messages.translate`."""
    settings = request.settings
    offered = Offered(request.tools, native=False, choice=settings.get("tool_choice"))
    system, messages = translate(
        request.input,
        instructions=request.instructions,
        offered=offered,
        origin=origin if accepted.thoughts else None,
        computer=accepted.computer,
    )
    choice = _choice(settings, offered)
    tools = _tools(offered, accepted.computer)
    if not tools and (called := _called(messages)):
        # The API demands the tools of earlier calls, also where none may be called any more.
        tools, choice = [_tool({"name": name}) for name in called], {"type": "none"}
    longest = _longest(settings, details)
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": longest,
        "system": [{"type": "text", "text": system}] if system else None,
        "messages": messages,
        "tools": tools or None,
        "tool_choice": choice if tools else None,
        "service_tier": _TIERS.get(str(settings.get("service_tier"))),
        "metadata": {"user_id": user} if (user := settings.get("safety_identifier")) else None,
        "stream": True,
        "betas": [BETA] if accepted.computer == "tool" and any(map(_is_beta, tools)) else None,
    }
    forced = bool(tools) and choice is not None and choice["type"] in ("any", "tool")
    body |= _reasoning(settings, details, longest, forced=forced) if accepted.reasoning else {}
    if (wanted := _format(settings)) is not None:
        body["output_config"] = {**body.get("output_config", {}), "format": wanted}
    _mark(body, _lifetime(settings))
    return {name: value for name, value in body.items() if value is not None}


def _tools(offered: Offered, form: Form) -> list[dict[str, Any]]:
    """Return the tools, with the computer in the server's own form unless a function has its name."""
    entry = offered_computer(offered)
    name = None if entry is None or form == "function" else offered.name(entry.tool)
    own = [spec_of(entry, form)] if entry is not None and name == entry.tool.type else []
    functions = [each for each in offered.functions() if not own or each["name"] != name]
    return [*own, *map(_tool, functions)]


def check_settings(settings: Json) -> None:
    """Raise `InvalidRequest` for settings that the API has no form for."""
    for name in _SAMPLING:
        if settings.get(name) not in (None, 1):  # 1 changes nothing
            raise InvalidRequest(
                f"Models of Anthropic's API take no {name}.",
                hint=f"Leave {name} out.",
                param=name,
                code="unsupported_parameter",
            )
    _format(settings)


def _format(settings: Json) -> Json | None:
    """Return the format of the answer. Raises `InvalidRequest` if the API has no form for it."""
    wanted = (settings.get("text") or {}).get("format") or {}
    match wanted.get("type"):
        case "json_schema":
            from anthropic import transform_schema  # takes a second, and the client has it already

            try:
                return {"type": "json_schema", "schema": transform_schema(dict(wanted["schema"]))}
            except (
                LookupError,
                ValueError,
                TypeError,
                AttributeError,
                AssertionError,
                RecursionError,
            ) as error:
                raise _no_format("cannot use this schema: " + shortened(str(error)), "schema") from None
        case "json_object":
            raise _no_format("have no JSON without a schema", "type")
    return None


def _no_format(why: str, field: str) -> InvalidRequest:
    return InvalidRequest(
        f"Models of Anthropic's API {why}.",
        hint="Send a json_schema in which each value has a type.",
        param=f"text.format.{field}",
        code="unsupported_value",
    )


def _longest(settings: Json, details: Details) -> int:
    asked = settings.get("max_output_tokens")
    if asked is None:
        return min(ANSWER, details.longest) if details.longest else ANSWER_OF_UNKNOWN
    return min(asked, details.longest) if details.longest else int(asked)


def _reasoning(settings: Json, details: Details, longest: int, *, forced: bool) -> dict[str, Any]:
    """Return `thinking` and the effort. Without `reasoning` in the request they are the model's own.

    A forced call excludes thinking.
    """
    asked = settings.get("reasoning") or {}
    effort = str(asked.get("effort") or "")
    effort = _EFFORTS.get(effort, effort)
    shown = asked.get("summary") or asked.get("generate_summary")
    if effort == "none" or forced:
        can = details.thinks("disabled")
        return {"thinking": {"type": "disabled"}} if can or (asked and can is None) else {}
    made: dict[str, Any] = {}
    if effort in _BUDGETS and (level := details.effort(effort)) is not None:
        made["output_config"] = {"effort": level}
    if effort or shown:
        display = {"display": "summarized"} if shown else {}
        budget = min(_BUDGETS.get(effort, _BUDGETS["medium"]), longest - 1)
        if details.thinks("adaptive") is not False:
            made["thinking"] = {"type": "adaptive", **display}
        elif details.thinks("enabled") and budget >= _LEAST_BUDGET:
            made["thinking"] = {"type": "enabled", "budget_tokens": budget, **display}
    return made


def _choice(settings: Json, offered: Offered) -> dict[str, Any] | None:
    single = settings.get("parallel_tool_calls") is False
    options = {"disable_parallel_tool_use": True} if single else {}
    match offered.choice(settings.get("tool_choice")):
        case "none":
            return {"type": "none"}
        case "required":
            return {"type": "any", **options}
        case {"type": "function", "name": name}:
            return {"type": "tool", "name": name, **options}
    return {"type": "auto", **options} if options else None


def _is_beta(tool: Json) -> bool:
    return tool.get("type") == TOOL


def _tool(function: Json) -> dict[str, Any]:
    described = {"description": function["description"]} if function.get("description") else {}
    schema = {"type": "object", "properties": {}, **(function.get("parameters") or {})}
    return {"name": function["name"], **described, "input_schema": schema}


def _called(messages: Sequence[Message]) -> list[str]:
    blocks = (block for message in messages for block in message["content"])
    names = (function_name(each["name"]) for each in blocks if each["type"] == "tool_use")
    return list(dict.fromkeys(names))


def _lifetime(settings: Json) -> dict[str, Any]:
    """Return the mark for what is kept in the cache, for five minutes or an hour."""
    options = settings.get("prompt_cache_options")
    asked = options.get("ttl") if isinstance(options, Mapping) else None
    long = settings.get("prompt_cache_retention") == "24h" or asked not in (None, "5m")
    return {"type": "ephemeral", **({"ttl": "1h"} if long else {})}


def _mark(body: Mapping[str, Any], mark: Json) -> None:
    """Mark what the next request repeats: the tools with the system prompt, and the last two turns.

    The API looks for an earlier mark only in the last 20 blocks, and a step may have more.
    """
    for blocks in _ends(body):
        blocks[-1] = {**blocks[-1], "cache_control": mark}


def _ends(body: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    if body["system"] or body["tools"]:
        yield body["system"] or body["tools"]
    yield from [each["content"] for each in body["messages"] if each["role"] == "user"][-2:]
