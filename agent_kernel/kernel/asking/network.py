"""Questions of a running turn: whether a connection may be made, or what an MCP server asks the user.

The turn goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.kernel.asking.types import ApprovalRequest, Asker, Decision

if TYPE_CHECKING:
    from agent_kernel.runtime.base import SessionEvent
    from agent_kernel.runtime.network.base import AnswersQuestions

log = logging.getLogger(__name__)

NAME = "network"
"""The `name` of the items that ask about the network."""

ELICITATION = "elicitation"
"""The `name` of the items that ask for an MCP server."""

UNREADABLE = "The kernel could not read what was asked."


def is_about_network(item: Mapping[str, Any]) -> bool:
    """Return whether an item is a question about the network."""
    return _is_ours(item, NAME)


def is_elicitation(item: Mapping[str, Any]) -> bool:
    """Return whether an item is a question of an MCP server."""
    return _is_ours(item, ELICITATION)


def _is_ours(item: Mapping[str, Any], name: str) -> bool:
    ours = {"type": "mcp_approval_request", "server_label": "agent_kernel", "name": name}
    return all(item.get(each) == value for each, value in ours.items())


def is_during_turn(item: Mapping[str, Any]) -> bool:
    """Return whether an item is a question that is answered while its turn runs."""
    return is_about_network(item) or is_elicitation(item)


class RunningQuestions:
    """Asks the questions of one turn with `asker`, one at a time, and sends the answers to `runtime`."""

    def __init__(self, asker: Asker, runtime: AnswersQuestions) -> None:
        self._asker = asker
        self._runtime = runtime
        self._response_id = ""
        self._turn = asyncio.Lock()
        self._open: dict[str, asyncio.Task[None]] = {}

    async def watch(self, events: AsyncGenerator[SessionEvent, None]) -> AsyncGenerator[SessionEvent, None]:
        """Yield the events of a turn, and ask its questions meanwhile. Those still open end with it."""
        try:
            async for event in events:
                self._take(event)
                yield event
        finally:
            for task in self._open.values():
                task.cancel()
            await asyncio.gather(*self._open.values(), return_exceptions=True)

    def _take(self, event: Any) -> None:
        if event.type == "response.created":
            self._response_id = event.response.id
        if event.type != "response.output_item.done" or not event.item.type.startswith("mcp_approval_re"):
            return
        item = (
            event.item if isinstance(event.item, Mapping) else event.item.to_dict(mode="json", warnings=False)
        )
        if is_during_turn(item):
            task = asyncio.create_task(self._ask(self._response_id, item))
            self._open[str(item["id"])] = task
        elif (ended := self._open.pop(str(item.get("approval_request_id")), None)) is not None:
            ended.cancel()  # answered, or withdrawn: the connection, its command or the call has ended

    async def _ask(self, response_id: str, item: Mapping[str, Any]) -> None:
        from agent_kernel.kernel.asking.elicitation import read_elicitation

        request = read_elicitation(item) if is_elicitation(item) else read_question(item)
        if request is None:
            await self._send(response_id, item, Decision(False, reason=UNREADABLE))
            return
        async with self._turn:
            wrong: str | None = ""
            while wrong is not None:
                decision = await self._asker.ask(_again(request, wrong))
                wrong = await self._send(response_id, item, decision)

    async def _send(self, response_id: str, item: Mapping[str, Any], decision: Decision) -> str | None:
        """Send the decision. Return what is wrong with it if it must be asked for again."""
        from agent_kernel.kernel.asking.elicitation import elicitation_answer

        answer = (
            elicitation_answer(item, decision)
            if is_elicitation(item)
            else answer_to(str(item["id"]), decision)
        )
        try:
            await self._runtime.answer(response_id, answer)
        except InvalidRequest as error:
            if (error.param or "").startswith("agent_kernel.content"):
                return error.message
            log.info("A question of a turn had ended before its answer.", exc_info=True)
        except AgentKernelError:  # the turn then waits until its command or call ends
            log.warning("An answer to a question of a turn could not be sent.", exc_info=True)
        return None


def _again(request: ApprovalRequest, wrong: str) -> ApprovalRequest:
    return replace(request, reason=f"{wrong}\n{request.reason}") if wrong else request


def read_question(item: Mapping[str, Any]) -> ApprovalRequest | None:
    """Return the question in an item, None if it cannot be read."""
    from agent_kernel.kernel.render.approval import arguments_of

    asked = arguments_of(item)
    host, port = asked.get("host"), asked.get("port")
    if not isinstance(host, str) or not host or type(port) is not int:
        return None
    program = str(asked.get("program") or "A program")
    while_ = f" while this runs: {asked['command']}" if asked.get("command") else ""
    reason = f"{program} connects to it{while_}. {asked.get('reason') or ''}".rstrip()
    return ApprovalRequest(str(item["id"]), (f"{host}:{port}",), reason, editable=False, about="network")


def answer_to(request_id: str, decision: Decision) -> dict[str, Any]:
    """Return the `mcp_approval_response` for a decision."""
    answer: dict[str, Any] = {
        "type": "mcp_approval_response",
        "approval_request_id": request_id,
        "approve": decision.approve,
    }
    if decision.reason and not decision.approve:
        answer["reason"] = decision.reason
    if decision.approve and decision.remember:
        answer["agent_kernel"] = {"scope": "container"}
    return answer
