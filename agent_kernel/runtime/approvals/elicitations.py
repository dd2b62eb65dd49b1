"""Questions of MCP servers to the user: shown as approval items, answered while their call runs.

The item is the standard's `mcp_approval_request` with our label and the name `elicitation`. It names no call.
Values in an answer go to the server that asked: neither the answer's item nor the audit log has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.runtime.approvals.items import ELICITATION, REQUEST, RESPONSE, SERVER_LABEL
from agent_kernel.runtime.approvals.questions import TurnQuestions
from agent_kernel.tools.mcp.elicitation import ServerAnswer, ServerQuestion, read_values

Json = Mapping[str, Any]

WITHDRAWN = "withdrawn: the call ended first"
_CONTENT = "agent_kernel.content"


async def elicit(questions: TurnQuestions, question: ServerQuestion) -> ServerAnswer:
    """Ask the user, and return the answer. Cancelling withdraws the question."""
    item = elicitation_item(question)
    who = ""

    def read(given: Json, by: str) -> ServerAnswer:
        nonlocal who
        who = by
        return read_answer(question, given)

    def end(answer: ServerAnswer | None) -> Json:
        action = answer.action if answer is not None else "withdrawn"
        questions.write("elicitation.answer", item, server=question.label, decision=action, by=who or None)
        return elicitation_answer(item["id"], answer, who)

    questions.write("elicitation.request", item, server=question.label)
    return await questions.put(item, read, end)


def read_answer(question: ServerQuestion, given: Json) -> ServerAnswer:
    """Read an `mcp_approval_response` to a question. Raises `InvalidRequest`."""
    ours = given.get("agent_kernel") or {}
    if unknown := set(ours) - {"content"}:
        param = f"agent_kernel.{min(map(str, unknown))}"
        raise InvalidRequest(f"An answer to an MCP server has no {param}.", param=param)
    if not given["approve"]:
        return ServerAnswer("decline")
    return ServerAnswer("accept", read_values(question, ours.get("content"), _CONTENT))


def elicitation_item(question: ServerQuestion) -> Json:
    """Return the item that shows a question."""
    return {
        "id": ids.item_id(REQUEST),
        "type": REQUEST,
        "server_label": SERVER_LABEL,
        "name": ELICITATION,
        "arguments": json.dumps(question.to_json(), ensure_ascii=False),
    }


def elicitation_answer(request_id: str, answer: ServerAnswer | None, by: str) -> Json:
    """Return the item that shows that a question was answered, or withdrawn (None)."""
    return {
        "id": ids.item_id(RESPONSE),
        "type": RESPONSE,
        "approval_request_id": request_id,
        "approve": answer is not None and answer.action == "accept",
        "reason": WITHDRAWN if answer is None else None,
        "agent_kernel": {"by": by or None, "question": ELICITATION},
    }
