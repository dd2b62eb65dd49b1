"""Calls that wait for an approval: asked, answered, and run once."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.fold import afold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.approvals.items import UNDECIDED
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.turns.history import Histories, join
from agent_kernel.store.sqlite.store import sqlite_rows
from tests.runtime.approvals.asking import (
    LOCAL,
    SHELL,
    Json,
    answer,
    asked,
    made,
    of,
    printed,
    refused,
    said,
    turn,
)


async def test_a_call_that_is_asked_about_waits_and_runs_once(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file")
    assert first["status"] == "completed"
    assert not printed(first)
    request = first["output"][-1]
    (call,) = of(first, "shell_call")
    assert request["type"] == "mcp_approval_request"
    assert request["id"].startswith("mcpr_")
    assert (request["server_label"], request["name"]) == ("agent_kernel", "shell")
    told = json.loads(request["arguments"])
    assert told["commands"] == call["action"]["commands"]
    assert "asks" in told["reason"]

    second = await turn(runtime, [answer(request)], first)
    assert second["output"][0]["call_id"] == call["call_id"]
    assert printed(second)[0]["stdout"].strip() == "1"
    assert said(second) == "It has 1 lines."
    assert second["status"] == "completed"


async def test_a_denial_is_told_to_the_model(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "one of each")
    second = await turn(runtime, [answer(asked(first), False, reason="Not today.")], first)
    (content,) = printed(second)
    assert content["stderr"] == "Not run: denied by the person who was asked: Not today."
    assert content["outcome"] == {"type": "exit", "exit_code": 126}
    assert said(second) == "Done."


async def test_an_edited_command_is_what_runs_and_the_model_is_told(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "two at once")
    instead = {"commands": ["echo instead; echo odd >&2; ls"]}
    second = await turn(runtime, [answer(asked(first), agent_kernel=instead)], first)
    (content,) = printed(second)
    assert content["stdout"] == "instead\n"
    odd, told = content["stderr"].splitlines()
    assert odd == "odd"
    assert told == f"[The person changed this before it ran. What ran: {json.dumps(instead['commands'])}]"
    assert second["status"] == "completed"


async def test_a_turn_without_an_answer_runs_nothing(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file")
    second = await turn(runtime, "how many", first)
    assert await made(runtime, second) == 0
    request = asked(second)  # it asks for its own command
    words = await refused(runtime, "approval_not_open", [answer(asked(first))], second)
    assert "gone on without" in words
    third = await turn(runtime, [answer(request)], second)
    assert said(third) == "0"


async def test_what_a_model_is_told_of_a_call_that_waited(runtime: LocalRuntime, tmp_path: Path) -> None:
    first = await turn(runtime, "touch the file")
    store = sqlite_rows(tmp_path / "store.sqlite")
    history = await Histories(store).of(first["id"])
    await store.aclose()
    call, output, request = join(history, [])[-3:]
    assert (call["type"], request["type"]) == ("shell_call", "mcp_approval_request")
    assert output["output"][0]["stderr"] == UNDECIDED


async def test_an_answer_is_taken_once_in_whatever_branch(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file")
    request = asked(first)
    second = await turn(runtime, [answer(request)], first)
    await refused(runtime, "approval_already_answered", [answer(request)], first)
    await refused(runtime, "approval_already_answered", [answer(request, False)], first)
    await refused(runtime, "approval_already_answered", [answer(request)], second)
    assert await made(runtime, second) == 1


async def test_of_two_answers_at_once_one_is_taken(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "touch the file")
    tries = [turn(runtime, [answer(asked(first))], first) for _ in range(5)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    taken = [each for each in outcomes if isinstance(each, dict)]
    lost = [each for each in outcomes if isinstance(each, InvalidRequest)]
    assert (len(taken), len(lost)) == (1, 4)
    assert {each.request_code for each in lost} == {"approval_already_answered"}
    assert await made(runtime, taken[0]) == 1


async def test_wrong_answers_change_nothing(runtime: LocalRuntime) -> None:
    first, other = await turn(runtime, "touch the file"), await turn(runtime, "touch the file")
    request = asked(first)
    await refused(runtime, "approval_not_found", [answer({"id": "mcpr_unknown"})], first)
    await refused(runtime, "approval_not_found", [answer(request)], other)
    await refused(runtime, "approval_not_found", [answer(request)], None)
    await refused(runtime, "approval_answered_twice", [answer(request), answer(request)], first)
    await refused(runtime, None, [answer(request)], first, tools=[])
    await refused(runtime, None, [answer(request)], first, tools=[LOCAL])
    await refused(runtime, None, [answer(request)], first, generate=False)
    mistakes: list[Json] = [
        {"approve": "yes"},
        {"approval_request_id": 7},
        {"reason": 7},
        {"agent_kernel": 7},
        {"agent_kernel": {"commands": "ls"}},
        {"agent_kernel": {"commands": []}},
        {"agent_kernel": {"commands": [" "]}},
        {"approve": False, "agent_kernel": {"commands": ["ls"]}},
    ]
    for wrong in mistakes:
        await refused(runtime, None, [{**answer(request), **wrong}], first)
    second = await turn(runtime, [answer(request)], first)
    assert printed(second)[0]["stdout"].strip() == "1"


async def test_functions_of_the_client_are_answered_with_it(runtime: LocalRuntime) -> None:
    first = await turn(runtime, "and the weather")
    assert [item["type"] for item in first["output"]] == [
        "shell_call",
        "function_call",
        "mcp_approval_request",
    ]
    (call,) = of(first, "function_call")
    weather = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    await refused(runtime, None, [answer(asked(first))], first)  # the function's output is missing
    second = await turn(runtime, [weather, answer(asked(first))], first)
    assert said(second) == "It is sunny."
    assert await made(runtime, second) == 1


async def test_what_was_not_stored_cannot_wait(runtime: LocalRuntime) -> None:
    response = await turn(runtime, "two at once", store=False)
    assert not of(response, "mcp_approval_request")
    assert "with store false" in printed(response)[0]["stderr"]
    assert response["status"] == "completed"


async def test_a_connection_remembers_what_was_not_stored(runtime: LocalRuntime) -> None:
    session = runtime.session()

    async def say(given: Any, previous: str | None = None) -> Json:
        request = {"input": given, "tools": [SHELL], "store": False, "previous_response_id": previous}
        events: Any = session.respond(request)
        async with aclosing(events):
            return to_json(await afold(events))

    first = await say("touch the file")
    second = await say([answer(asked(first))], first["id"])
    assert said(second) == "It has 1 lines."
    with pytest.raises(InvalidRequest) as caught:
        await say([answer(asked(first))], first["id"])
    assert caught.value.request_code == "approval_already_answered"
