"""Questions of MCP servers in a notebook: as lines, as fields, and answered again if a value is wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.asking.elicitation import elicitation_answer, read_elicitation
from agent_kernel.kernel.asking.network import RunningQuestions
from agent_kernel.kernel.asking.questions import LineAsker
from agent_kernel.kernel.asking.told import asks_about_call
from agent_kernel.kernel.asking.types import ApprovalRequest, Decision
from agent_kernel.kernel.render.items import render_item

SCHEMA = {
    "type": "object",
    "properties": {
        "seats": {"type": "integer", "description": "How many"},
        "window": {"type": "boolean", "default": False},
        "meal": {"type": "string", "oneOf": [{"const": "v", "title": "Vegan"}]},
        "tags": {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}},
    },
    "required": ["seats"],
}


def question(**asked: Any) -> dict[str, Any]:
    about = {"server_label": "db", "message": "How many seats?", "schema": SCHEMA, **asked}
    ours = {"type": "mcp_approval_request", "server_label": "agent_kernel", "name": "elicitation"}
    return {"id": "mcpr_1", **ours, "arguments": json.dumps(about)}


def page() -> dict[str, Any]:
    asked = {"server_label": "db", "message": "Sign in.", "url": "https://page.example/"}
    return {**question(), "arguments": json.dumps(asked)}


def lines_of(*given: str) -> tuple[LineAsker, list[str]]:
    left, prompts = list(given), []

    async def ask_line(prompt: str) -> str:
        prompts.append(prompt)
        return left.pop(0)

    return LineAsker(ask_line), prompts


async def test_each_value_is_asked_in_a_console() -> None:
    request = read_elicitation(question())
    assert request is not None
    asker, prompts = lines_of("y", "3", "", "v", "x, y")
    decision = await asker.ask(request)
    assert "The MCP server db asks: How many seats?" in prompts[0]
    assert "meal: string, optional, one of v (Vegan)" in prompts[0]
    assert prompts[1:] == ["seats: ", "window (empty: false): ", "meal: ", "tags: "]
    answer = elicitation_answer(question(), decision)
    content = {"seats": 3, "window": False, "meal": "v", "tags": ["x", "y"]}
    assert (answer["approve"], answer["agent_kernel"]) == (True, {"content": content})


async def test_a_console_may_decline_or_consent_to_a_page() -> None:
    request, about = read_elicitation(question()), read_elicitation(page())
    assert request is not None
    assert about is not None
    declining, _ = lines_of("n")
    assert elicitation_answer(question(), await declining.ask(request))["approve"] is False
    agreeing, prompts = lines_of("always", "y")
    answer = elicitation_answer(page(), await agreeing.ask(about))
    assert "https://page.example/" in prompts[0]
    assert answer == {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}


class Answers:
    """A runtime that refuses the first answer."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.accepted = asyncio.Event()

    async def answer(self, response_id: str, answer: Any) -> None:
        self.given.append(answer)
        if len(self.given) == 1:
            raise InvalidRequest("seats must be an integer.", param="agent_kernel.content.seats")
        self.accepted.set()


class Asks:
    """A user who corrects the answer."""

    def __init__(self) -> None:
        self.asked: list[ApprovalRequest] = []

    async def ask(self, request: ApprovalRequest) -> Decision:
        self.asked.append(request)
        seats = "many" if len(self.asked) == 1 else "2"
        return Decision(True, (f"seats: {seats}", "window: ", "meal: ", "tags: "))


async def test_a_wrong_value_is_asked_for_again() -> None:
    runtime, asker = Answers(), Asks()
    item = type("Item", (dict,), {"type": "mcp_approval_request"})(question())
    done = SimpleNamespace(type="response.output_item.done", item=item)

    async def events() -> AsyncGenerator[Any, None]:
        yield SimpleNamespace(type="response.created", response=SimpleNamespace(id="resp_1"))
        yield done
        await runtime.accepted.wait()

    watched: Any = RunningQuestions(asker, runtime).watch(events())
    assert len([event async for event in watched]) == 2
    assert asker.asked[1].reason.startswith("seats must be an integer.")
    contents = [each["agent_kernel"]["content"] for each in runtime.given]
    assert contents == [{"seats": "many"}, {"seats": 2}]


@pytest.mark.parametrize("arguments", ["", "[]", "{}", '{"server_label": 5, "message": "x"}'])
def test_an_unreadable_question_is_no_question(arguments: str) -> None:
    assert read_elicitation({**question(), "arguments": arguments}) is None


def test_only_calls_are_answered_by_the_next_turn() -> None:
    call = {"type": "mcp_approval_request", "server_label": "db", "name": "query", "arguments": "{}"}
    assert asks_about_call(call)
    assert not asks_about_call(question())


def test_questions_of_servers_are_rendered_as_text() -> None:
    asked = render_item(question(message="<b>hi</b>"))
    assert asked is not None
    assert asked.data["text/plain"] == "**The MCP server** `db` **asks:** `<b>hi</b>`"
    assert "<b>hi" not in asked.data["text/html"]
    ours = {"by": "person", "question": "elicitation"}
    answer = {"type": "mcp_approval_response", "approve": True, "agent_kernel": ours}
    shown = render_item(answer)
    assert shown is not None
    assert shown.data["text/plain"] == "**Answered.**"
