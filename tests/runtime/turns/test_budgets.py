"""What one turn may use: counted, told to the model, reached in good order, and no end of the chain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.turns.budgets import MAX_TOKENS, Budget, Meter
from agent_kernel.runtime.turns.context.estimate import estimate
from agent_kernel.runtime.turns.request import read_request
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Turn, Upstream, call, items, runtime_on, turns_of

TOLD = [{"type": "message", "role": "user", "content": "x" * 400}]


def usage(given: int, taken: int) -> dict[str, int]:
    return {"prompt_tokens": taken, "completion_tokens": given, "total_tokens": given + taken}


def runs(command: str, call_id: str) -> dict[str, Any]:
    return call(0, "shell", {"commands": [command]}, call_id)


def reason(response: Response) -> str | None:
    details = to_json(response)["incomplete_details"]
    assert (response.status == "incomplete") is (details is not None)
    return details["reason"] if details else None


# -- counting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "smaller"),
    [
        (Budget(), Budget(), Budget()),
        (Budget(tokens=5), Budget(seconds=2), Budget(tokens=5, seconds=2)),
        (Budget(5, 5, 5), Budget(9, 1, None), Budget(5, 1, 5)),
    ],
)
def test_a_request_can_only_lower_a_budget(one: Budget, other: Budget, smaller: Budget) -> None:
    assert one.within(other) == other.within(one) == smaller


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (7, "agent_kernel"),
        ({"budget": 7}, "agent_kernel.budget"),
        ({"budget": {"money": 7}}, "agent_kernel.budget.money"),
        ({"money": 7}, "agent_kernel.money"),
        ({"budget": {"tokens": 0}}, "agent_kernel.budget.tokens"),
        ({"budget": {"tokens": 1.5}}, "agent_kernel.budget.tokens"),
        ({"budget": {"tool_calls": True}}, "agent_kernel.budget.tool_calls"),
        ({"budget": {"seconds": -1}}, "agent_kernel.budget.seconds"),
        ({"budget": {"seconds": float("nan")}}, "agent_kernel.budget.seconds"),
    ],
)
def test_what_is_no_budget_is_named(given: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request({"input": "x", "agent_kernel": given})
    assert caught.value.param == param


@pytest.mark.parametrize("given", [None, {}, {"budget": None}, {"budget": {}}, {"approval": {}}])
def test_no_budget(given: Any) -> None:
    assert read_request({"input": "x", "agent_kernel": given}).budget == Budget()
    seconds = {"budget": {"seconds": 0.5}}
    assert read_request({"input": "x", "agent_kernel": seconds}).budget == Budget(seconds=0.5)


def test_the_rest_is_what_an_answer_may_have() -> None:
    meter = Meter(Budget(tokens=1000))
    told = estimate(TOLD)
    assert meter.answer_limit(TOLD, None) == 1000 - told
    assert meter.named("max_output_tokens") == MAX_TOKENS
    assert meter.named("content_filter") == "content_filter"
    assert meter.answer_limit(TOLD, 30) == 30
    assert meter.named("max_output_tokens") == "max_output_tokens"
    meter.answered(700, TOLD, [])
    assert meter.answer_limit(TOLD, None) == 300 - told
    meter.answered(700, TOLD, TOLD)  # an upstream that reports nothing: estimated
    assert meter.reached is None
    meter.answer_limit(TOLD, None)
    assert meter.reached == MAX_TOKENS


def test_without_a_limit_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.runtime.turns.budgets.estimate", None)
    meter = Meter()
    meter.answered(7, TOLD, TOLD)
    assert meter.answer_limit(TOLD, None) is None
    assert meter.answer_limit(TOLD, 5) == 5
    assert meter.named("max_output_tokens") == "max_output_tokens"
    assert meter.may_call(10**9)


# -- in a turn ----------------------------------------------------------------------------------------------

Make = Callable[[Budget], Any]


@pytest.fixture
async def make(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Make]:
    """Makes turns under an operator's budget."""
    async with AsyncExitStack() as stack:

        async def make(budget: Budget) -> Turn:
            settings = TurnSettings(budget=budget)
            runtime = runtime_on(upstream.url, bubblewrap_backend, tmp_path, turn_settings=settings)
            return turns_of(await stack.enter_async_context(runtime))

        yield make


def asked_for(upstream: Upstream) -> list[int | None]:
    return [request.get("max_tokens") for request in upstream.requests]


async def test_turn_out_of_tokens_ends_and_continues_with_new_ones(upstream: Upstream, make: Make) -> None:
    turn = await make(Budget(tokens=2000))
    upstream.says(runs("echo one", "c1"), finish="tool_calls", usage=usage(50, 900))
    upstream.says(runs("echo two", "c2"), finish="tool_calls", usage=usage(50, 980))
    first = await turn("Go.", tools=[SHELL])
    assert reason(first) == MAX_TOKENS
    assert first.usage is not None
    assert first.usage.total_tokens == 1980, "summed over the model's calls"
    assert [each["output"][0]["stdout"] for each in items(first) if "output" in each] == ["one\n", "two\n"]
    one, two = asked_for(upstream)
    assert one is not None
    assert two is not None
    assert 1900 < one < 2000
    assert two < 1050, "what the first call used is gone"

    upstream.says({"content": "Both."})
    second = await turn("Go on.", previous_response_id=first.id, tools=[SHELL])
    assert reason(second) is None
    assert second.output_text == "Both."


async def test_an_answer_cut_off_by_the_budget_says_so(upstream: Upstream, make: Make) -> None:
    turn = await make(Budget())
    ours = {"agent_kernel": {"budget": {"tokens": 500}}}
    upstream.says({"content": "Too lo"}, finish="length", usage=usage(490, 10))
    assert reason(await turn("Go.", **ours)) == MAX_TOKENS
    upstream.says({"content": "Too lo"}, finish="length", usage=usage(20, 10))
    assert reason(await turn("Go.", max_output_tokens=20, **ours)) == "max_output_tokens"
    assert asked_for(upstream)[1] == 20


async def test_an_input_over_the_budget_asks_nobody(upstream: Upstream, make: Make) -> None:
    turn = await make(Budget(tokens=100))
    response = await turn("x" * 1000)
    assert reason(response) == MAX_TOKENS
    assert response.output == []
    assert upstream.requests == []


async def test_an_upstream_that_reports_nothing_is_estimated(upstream: Upstream, make: Make) -> None:
    turn = await make(Budget(tokens=1000))
    for number in range(9):
        upstream.says(runs(f"echo {'x' * 400}", f"c{number}"), finish="tool_calls")
    assert reason(await turn("Go.", tools=[SHELL])) == MAX_TOKENS
    assert 1 < len(upstream.requests) < 9


async def test_a_call_over_the_budget_is_not_run_and_ends_the_turn(upstream: Upstream, make: Make) -> None:
    turn = await make(Budget(tool_calls=2))
    for number in range(3):
        upstream.says(runs(f"echo {number} | tee -a file", f"c{number}"), finish="tool_calls")
    first = await turn("Go.", tools=[SHELL])
    assert reason(first) == "agent_kernel.max_tool_calls"
    outputs = [each["output"][0] for each in items(first) if "output" in each]
    assert [each["stdout"] for each in outputs] == ["0\n", "1\n", ""]
    assert outputs[2]["stderr"] == "Not run: the turn may make no more calls."

    upstream.says(runs("cat file", "c4"), finish="tool_calls")
    upstream.says({"content": "Done."})
    second = await turn("Go on.", previous_response_id=first.id, tools=[SHELL])
    assert items(second)[1]["output"][0]["stdout"] == "0\n1\n"


async def test_the_last_call_that_is_allowed_may_be_spoken_about(upstream: Upstream, make: Make) -> None:
    turn = await make(Budget())
    upstream.says(runs("echo 1", "c1"), finish="tool_calls")
    upstream.says({"content": "One."})
    response = await turn("Go.", tools=[SHELL], agent_kernel={"budget": {"tool_calls": 1}})
    assert reason(response) is None
    assert response.output_text == "One."


async def test_seconds_end_a_command_that_runs_and_keep_what_it_printed(
    upstream: Upstream, make: Make
) -> None:
    turn = await make(Budget(seconds=3600))
    upstream.says(runs("X=7; echo begun; sleep 600; echo never", "c1"), finish="tool_calls")
    first = await turn("Go.", tools=[SHELL], agent_kernel={"budget": {"seconds": 2}})
    assert reason(first) == "agent_kernel.max_seconds"
    if items(first):  # a machine so slow that the command was not even begun
        assert "never" not in items(first)[1]["output"][0]["stdout"]

    upstream.prepared.clear()
    upstream.says(runs("echo $((X + 1))", "c2"), finish="tool_calls")
    upstream.says({"content": "Done."})
    second = await turn("Go on.", previous_response_id=first.id, tools=[SHELL])
    assert reason(second) is None
    assert items(second)[1]["output"][0]["outcome"] == {"type": "exit", "exit_code": 0}


async def test_seconds_end_a_model_that_thinks(upstream: Upstream, make: Make) -> None:
    turn = await make(Budget(seconds=0.3))
    upstream.hangs()
    response = await turn("Go.")
    assert reason(response) == "agent_kernel.max_seconds"
