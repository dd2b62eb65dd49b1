"""Approvals as items of a conversation: the request, its answers, and the output of a call that waits.

The items are the standard's `mcp_approval_request` and `mcp_approval_response`. A request is at the end of
its response's output and names its call in `agent_kernel.call_id`. It is open until an item follows it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.policy.rules import Policy, read_policy
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import json_key
from agent_kernel.tools.base import Tool
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.one_item import OneItemTool, approval_of

Json = Mapping[str, Any]

REQUEST = "mcp_approval_request"
RESPONSE = "mcp_approval_response"

SERVER_LABEL = "agent_kernel"
NETWORK = "network"
"""The `name` of a question about the network. It names no call."""
ELICITATION = "elicitation"
"""The `name` of a question of an MCP server. It names no call either."""

UNDECIDED = "Not run: no approval was given."
BROKEN_OFF = "Approved, but the turn ended first: it was not run, or not to its end. It is not run again."
ELSEWHERE = "Answered in a turn that is not part of this conversation: it may have been run there."
DENIED = "Not run: denied by the person who was asked."

MOST_COMMANDS = 100


@dataclass(frozen=True)
class Answer:
    """A decision about one call. `call` is the item to run, `asked` the item that the request was about."""

    request_id: str
    tool: Tool
    call: Json
    asked: Json
    approve: bool
    reason: str | None = None

    @property
    def runs(self) -> bool:
        """Whether the call gets an item with its output. A denied call without an item gets none."""
        return self.approve or not self.tool.waits_unshown

    @property
    def edited(self) -> bool:
        """Whether the person changed the call that they were asked about."""
        return self.tool.question(self.call) != self.tool.question(self.asked)


def request_item(tool: Tool, call: Json, reason: str, *, outside: bool = False) -> Json:
    """Return the item that asks about a call. `outside`: since the conversation read text from outside."""
    ours = {"outside": True} if outside else {}
    if (own := tool.approval_request(call, reason)) is not None:
        return own
    return {
        "id": ids.item_id(REQUEST),
        "type": REQUEST,
        "server_label": SERVER_LABEL,
        "name": tool.type,
        "arguments": json.dumps({**tool.question(call), "reason": reason}, ensure_ascii=False),
        "agent_kernel": {"call_id": json_key(call), "item_id": call.get("id"), **ours},
    }


def read_approval(request: Json) -> Policy | None:
    """Return the policy that a request brings in `agent_kernel.approval`. Raises `InvalidRequest`."""
    ours = request.get("agent_kernel")
    if ours is None:
        return None
    if not isinstance(ours, Mapping):
        raise InvalidRequest("agent_kernel must be an object.", param="agent_kernel")
    if ours.get("approval") is None:
        return None
    try:
        return read_policy(ours["approval"])
    except ValueError as error:
        raise InvalidRequest(f"agent_kernel: {error}.", param="agent_kernel.approval") from None


def check_answer(item: Json, where: str) -> None:
    """Check an `mcp_approval_response` of the client's. Raises `InvalidRequest`."""
    if not isinstance(item.get("approval_request_id"), str):
        raise InvalidRequest(
            f"{where}.approval_request_id must be a string.", param=f"{where}.approval_request_id"
        )
    if not isinstance(item.get("approve"), bool):
        raise InvalidRequest(f"{where}.approve must be true or false.", param=f"{where}.approve")
    if not isinstance(item.get("reason"), str | None):
        raise InvalidRequest(f"{where}.reason must be a string.", param=f"{where}.reason")
    ours = item.get("agent_kernel")
    if ours is None:
        return
    if not isinstance(ours, Mapping):
        raise InvalidRequest(f"{where}.agent_kernel must be an object.", param=f"{where}.agent_kernel")
    commands = ours.get("commands")
    if commands is not None and not _are_commands(commands):
        raise InvalidRequest(
            f"{where}.agent_kernel.commands must be a list of 1 to {MOST_COMMANDS} strings.",
            param=f"{where}.agent_kernel.commands",
        )
    if commands is not None and not item["approve"]:
        raise InvalidRequest(
            f"{where} denies, and has commands to run instead.", param=f"{where}.agent_kernel.commands"
        )


def _are_commands(given: object) -> bool:
    return (
        isinstance(given, list)
        and 0 < len(given) <= MOST_COMMANDS
        and all(isinstance(each, str) and each.strip() for each in given)
    )


def new_responses(given: Sequence[Json]) -> list[Json]:
    """Return the answers in a turn's input that are for this turn.

    Clients that send a whole conversation again send old ones with it: those have the call's output there as
    well, or the model has gone on since.
    """
    requests = {item["id"]: item for item in given if item["type"] == REQUEST and item.get("id")}
    answered = {item["call_id"] for item in given if catalogue().of_output(item["type"]) is not None}
    answered |= carried_out(given)
    found = []
    for item in given:
        request = requests.get(item["approval_request_id"]) if item["type"] == RESPONSE else None
        if item["type"] != RESPONSE or (request is not None and _is_old(request, item, given)):
            continue
        call_id = None if request is None else _call_id(request)
        if request is None or (call_id is not None and call_id not in answered):
            found.append(item)
    return found


def answers(given: Sequence[Json], history: Sequence[Json]) -> list[Answer]:
    """Return the answers in a turn's input to requests at the end of `history` or sent again before them.

    Raises `InvalidRequest` for one to a request that is not there, or not open, and for two to one.
    """
    responses = new_responses(given)
    if not responses:
        return []
    before = given[: next(index for index, item in enumerate(given) if item is responses[0])]
    known = [*history, *before]
    waiting = {item["id"]: item for item in (*_open(history), *_open(before))}
    read: list[Answer] = []
    for item in responses:
        request_id = item["approval_request_id"]
        call = _call_of(waiting[request_id], known) if request_id in waiting else None
        if call is None:
            raise _not_open(request_id, known)
        if any(each.request_id == request_id for each in read):
            raise InvalidRequest(
                f"The approval request '{request_id}' has two answers.",
                param="input",
                code="approval_answered_twice",
            )
        read.append(_answer(item, call))
    return read


def _answer(item: Json, call: Json) -> Answer:
    instead = (item.get("agent_kernel") or {}).get("commands")
    tool = catalogue().of_call(call["type"])
    assert tool is not None  # noqa: S101 (`_call_of` found it)
    made = call if instead is None else tool.edited(call, instead)
    reason = (item.get("reason") or "").strip() or None
    return Answer(item["approval_request_id"], tool, made, call, item["approve"], reason)


def is_remote(request: Json) -> bool:
    """Return whether a request is about a call to an MCP server. It holds the call, which has no item."""
    return request["type"] == REQUEST and request.get("server_label") not in (None, SERVER_LABEL)


def remote_call(request: Json) -> tuple[OneItemTool, Json]:
    """Return the tool and the call of a request that `is_remote`."""
    tool = catalogue().of_call("mcp_call")
    assert isinstance(tool, OneItemTool)  # noqa: S101 (it is built in)
    return tool, tool.asked_call(request)


def _is_old(request: Json, response: Json, given: Sequence[Json]) -> bool:
    """Return whether a remote request's answer was sent before: the model went on after it."""
    if not is_remote(request):
        return False
    after = given[next(place for place, item in enumerate(given) if item is response) + 1 :]
    return any(_is_said(item) for item in after)


def _is_said(item: Json) -> bool:
    kind = item["type"]
    said = kind == "message" and item.get("role") == "assistant"
    return said or kind in ("reasoning", REQUEST) or kind.endswith("_call")


def _open(items: Sequence[Json]) -> list[Json]:
    found: list[Json] = []
    for item in reversed(items):
        if item["type"] == REQUEST:
            found.append(item)
        elif not item["type"].endswith("_output"):  # outputs of other calls may come with the answer
            break
    return found


def _call_of(request: Json, history: Sequence[Json]) -> Json | None:
    call_id = _call_id(request)
    if is_remote(request):
        return None if call_id in carried_out(history) else remote_call(request)[1]
    calls = [item for item in history if item.get("call_id") == call_id or _is_one_item(item, call_id)]
    if call_id is None or len(calls) != 1 or not _is_ours(calls[0]):  # none, or it has its output
        return None
    return calls[0]


def _is_one_item(item: Json, key: str | None) -> bool:
    tool = catalogue().of_call(item["type"])
    return tool is not None and tool.one_item and item["id"] == key


def carried_out(items: Sequence[Json]) -> set[str]:
    """Return the keys of calls that waited, and that a later item carries out; see `tools.one_item`."""
    requests = {item["id"]: _call_id(item) for item in items if item["type"] == REQUEST and item.get("id")}
    found = {requests.get(request_id) for item in items if (request_id := approval_of(item)) is not None}
    return {key for key in found if key is not None}


def _is_ours(item: Json) -> bool:
    """Return whether an item is a call of a tool of this server."""
    tool = catalogue().of_call(item["type"])
    return tool is not None and not tool.by_client


def calls_left_out(items: Sequence[Json]) -> dict[str, str]:
    """Return the item ids of calls whose requests came without them, because some clients drop calls."""
    here = {json_key(item) for item in items if _is_ours(item)}
    found = {}
    for item in items:
        item_id = _ours(item, "item_id") if item["type"] == REQUEST else None
        if item_id is not None and _call_id(item) not in here:
            found[item["id"]] = item_id
    return found


def _call_id(request: Json) -> str | None:
    """Return the key of the call that a request asks about. A call without an item has the request's id."""
    return request.get("id") if is_remote(request) else _ours(request, "call_id")


def _ours(request: Json, name: str) -> str | None:
    ours = request.get("agent_kernel")
    value = ours.get(name) if isinstance(ours, Mapping) else None
    return value if isinstance(value, str) else None


def not_found(request_id: str) -> InvalidRequest:
    """Make the error for an answer without a matching request."""
    return InvalidRequest(
        f"No approval request '{request_id}' was found in what this continues.",
        hint="Continue the response that asked, by previous_response_id or in its conversation.",
        param="input",
        code="approval_not_found",
    )


def _not_open(request_id: str, history: Sequence[Json]) -> InvalidRequest:
    asked = [item for item in history if item.get("id") == request_id and item["type"] == REQUEST]
    if not asked:
        return not_found(request_id)
    if asked[0].get("name") == ELICITATION and _call_id(asked[0]) is None:
        return InvalidRequest(
            f"The question '{request_id}' of an MCP server ended with its call.",
            hint="Let the model call the tool again.",
            param="input",
            code="approval_not_open",
        )
    if asked[0].get("name") == NETWORK and _call_id(asked[0]) is None:
        return InvalidRequest(
            f"The question '{request_id}' about the network ended with its response.",
            hint="To allow the host from now on, add it to allowed_domains of this request's network_policy.",
            param="input",
            code="approval_not_open",
        )
    if any(item["type"] == RESPONSE and item.get("approval_request_id") == request_id for item in history):
        return answered_already(request_id)
    return InvalidRequest(
        f"The approval request '{request_id}' is not open any more: the conversation has gone on without an"
        " answer.",
        hint="Continue the response that asked.",
        param="input",
        code="approval_not_open",
    )


def denied(reason: object) -> str:
    """Return what the model reads in place of the output of a denied call."""
    return f"{DENIED.rstrip('.')}: {reason}" if reason else DENIED


def answered_already(request_id: str) -> InvalidRequest:
    """Make the error for a second answer to the same request."""
    return InvalidRequest(
        f"The approval request '{request_id}' has been answered already; each is answered once.",
        hint="Continue the response that answered it.",
        param="input",
        code="approval_already_answered",
    )


def undecided(items: Sequence[Json]) -> list[str]:
    """Return the ids of the requests without an answer in this conversation."""
    answered = {item.get("approval_request_id") for item in items if item["type"] == RESPONSE}
    return [item["id"] for item in items if item["type"] == REQUEST and item.get("id") not in answered]


def unanswered(items: Sequence[Json], elsewhere: Collection[str] = ()) -> dict[Any, str]:
    """Return the text to use as output of each asked-about call without one, by call id.

    `elsewhere` are requests that were answered, but not in this conversation.
    """
    requests = {item["id"]: _call_id(item) for item in items if item["type"] == REQUEST and item.get("id")}
    if not requests:
        return {}
    notes: dict[Any, str] = {
        call_id: ELSEWHERE if id_ in elsewhere else UNDECIDED for id_, call_id in requests.items()
    }
    for item in items:
        if item["type"] == RESPONSE and item.get("approval_request_id") in requests:
            call_id = requests[item["approval_request_id"]]
            notes[call_id] = BROKEN_OFF if item.get("approve") else denied(item.get("reason"))
    return notes


def in_order(items: Sequence[Json]) -> Sequence[Json]:
    """Return the items with each waiting call's output moved directly after the call, as models require."""
    asked = {_call_id(item) for item in items if item.get("type") == REQUEST}
    if not asked:
        return items
    late = {i["call_id"]: i for i in items if _is_output(i) and i["call_id"] in asked}
    ordered: list[Json] = []
    for item in items:
        if _is_output(item) and item["call_id"] in late:
            continue
        ordered.append(item)
        if item.get("call_id") in late:
            ordered.append(late[item["call_id"]])
    return ordered


def _is_output(item: Json) -> bool:
    tool = catalogue().of_output(item.get("type") or "message")
    return tool is not None and not tool.by_client
