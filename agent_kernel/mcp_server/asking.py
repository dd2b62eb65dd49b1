"""Questions about commands that need approval, asked through the MCP client: an elicitation.

In the protocol of 2026-07-28 the call ends with the question, and the client calls again with the answer. In
earlier ones the question is a request to the client while the call goes on. A client without elicitation asks
nobody, so the command is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp_types import ClientCapabilities, ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from mcp_types.version import is_version_at_least

from agent_kernel.errors import InvalidRequest
from agent_kernel.mcp_server.callers import Call

ENDS_WITH_QUESTION = "2026-07-28"
"""The first version of the protocol in which a call ends with its question."""

QUESTION = "approval"
"""The key of the question, and of its answer in the next call."""

NOBODY = "the policy asks a person first, and this MCP client cannot ask one (it has no elicitation)"
DECLINED = "the person declined"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"run": {"type": "boolean", "title": "Run it", "description": "Whether it may run."}},
    "required": ["run"],
}


@dataclass(frozen=True)
class Pending:
    """A call that waits for approval: its response, the request in it, and the words of the question."""

    response_id: str
    approval_id: str
    words: str

    @classmethod
    def of(cls, response_id: str, item: Mapping[str, Any]) -> Pending:
        """Return what an `mcp_approval_request` asks."""
        return cls(response_id, item["id"], _question(item))

    def state(self) -> str:
        """Return it for the client to bring back; the package seals it."""
        return json.dumps([self.response_id, self.approval_id])


@dataclass(frozen=True)
class ElicitedAnswer:
    """An answer. `reason` says why not."""

    approve: bool
    reason: str | None = None


def given(call: Call) -> tuple[Pending, ElicitedAnswer] | None:
    """Return the answer that a call brings to an earlier question; None if it brings none.

    Raises `InvalidRequest` for one that answers nothing of ours.
    """
    if call.request_state is None:
        return None
    answer = (call.input_responses or {}).get(QUESTION)
    try:
        response_id, approval_id = json.loads(call.request_state)
    except ValueError as error:
        raise InvalidRequest("The call answers a question that was not asked.") from error
    return Pending(response_id, approval_id, ""), _read(answer)


async def ask(call: Call, pending: Pending) -> ElicitedAnswer | InputRequiredResult:
    """Ask about a call, or return the result that asks."""
    if not _can_ask(call.client_capabilities):
        return ElicitedAnswer(False, NOBODY)
    if is_version_at_least(call.protocol_version or "", ENDS_WITH_QUESTION):
        params = ElicitRequestFormParams(message=pending.words, requested_schema=SCHEMA)
        return InputRequiredResult(
            input_requests={QUESTION: ElicitRequest(params=params)}, request_state=pending.state()
        )
    answer = await call.session.elicit_form(pending.words, SCHEMA, related_request_id=call.request_id)
    return _read(answer)


def _can_ask(client: ClientCapabilities | None) -> bool:
    able = client.elicitation if client is not None else None
    return able is not None and (able.form is not None or able.url is None)


def _read(answer: Any) -> ElicitedAnswer:
    content = getattr(answer, "content", None) or {}
    if getattr(answer, "action", None) == "accept" and content.get("run") is True:
        return ElicitedAnswer(True)
    return ElicitedAnswer(False, DECLINED)


def _question(item: Mapping[str, Any]) -> str:
    asked = json.loads(item["arguments"])
    reason = asked.pop("reason", "")
    what = asked.get("commands") or [asked.get("code") or json.dumps(asked, ensure_ascii=False)]
    return "\n\n".join(["Run this in the sandbox?", *map(_visible, what), str(reason)])


def _visible(text: object) -> str:
    """Return text in which nothing is hidden: control characters and invisible ones are escaped."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in str(text)
    )
