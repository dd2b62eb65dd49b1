"""What every model body holds to, whichever upstream it speaks with."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.models.anthropic.model import AnthropicModel
from agent_kernel.models.base import Model, ModelRequest
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.direct import DirectModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.script import load
from agent_kernel.models.scripted import ScriptedModel
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.calls import CallDone
from agent_kernel.protocol.deltas import ModelDelta, TextDelta
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.response import new_response
from agent_kernel.tools.shell.run import CommandResult
from tests.later import anthropic_client
from tests.models.anthropic import shapes
from tests.tools.made import model_request

COMMANDS = ["ls -l", "printf 'a\n{b}'"]
SCRIPT = {
    "turns": [
        {
            "when": "list it",
            "do": [
                {"think": "A look."},
                {"shell": COMMANDS},
                {"say": "It is {n}.", "quote": {"n": "total (.*)"}},
            ],
        }
    ]
}


@dataclass
class Case:
    """A body, and how to make its upstream call the shell, speak, or speak without an end."""

    model: Model
    calls: Callable[[], None]
    speaks: Callable[[], None]
    hangs: Callable[[], None] | None


def case_scripted(upstream: Any, tmp_path: Path) -> Case:
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(SCRIPT))
    return Case(ScriptedModel(load(path)), lambda: None, lambda: None, None)


def case_chat(upstream: Any, tmp_path: Path) -> Case:
    arguments = json.dumps({"commands": COMMANDS})
    cut = len(arguments) // 2
    call = [{"index": 0, "id": "c7", "type": "function", "function": {"name": "shell", "arguments": ""}}]
    more = [[{"index": 0, "function": {"arguments": part}}] for part in (arguments[:cut], arguments[cut:])]

    def calls() -> None:
        upstream.chats(
            {"reasoning_content": "A look."}, *({"tool_calls": c} for c in (call, *more)), finish="tool_calls"
        )

    def hangs() -> None:
        delta = {"choices": [{"index": 0, "delta": {"content": "It"}, "finish_reason": None}]}
        upstream.says(delta, hold=True)

    speaks = lambda: upstream.chats({"role": "assistant", "content": "It is "}, {"content": "4."})  # noqa: E731
    return Case(ChatModel(Upstream(upstream.url, "sk", retry=RetryPolicy(0))), calls, speaks, hangs)


def _responses(upstream: Any, call: dict[str, Any], *, native: bool) -> Case:
    reasoning = {"type": "reasoning", "id": "rs_up", "summary": [{"type": "summary_text", "text": "A look."}]}
    text = {"type": "output_text", "text": "It is 4.", "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "It"}
    model = ResponsesModel(Upstream(upstream.url, "sk", retry=RetryPolicy(0)), native=native)
    return Case(
        model,
        lambda: upstream.responds(reasoning, call),
        lambda: upstream.responds(message),
        lambda: upstream.says({**delta, "item_id": "m", "sequence_number": 0, "logprobs": []}, hold=True),
    )


def case_native(upstream: Any, tmp_path: Path) -> Case:
    call = {"type": "shell_call", "id": "sh_up", "call_id": "c7", "status": "completed", "environment": None}
    action = {"commands": COMMANDS, "timeout_ms": None, "max_output_length": None}
    return _responses(upstream, {**call, "action": action}, native=True)


def case_function(upstream: Any, tmp_path: Path) -> Case:
    call = {"type": "function_call", "id": "fc_up", "call_id": "c7", "name": "shell", "status": "completed"}
    return _responses(upstream, {**call, "arguments": json.dumps({"commands": COMMANDS})}, native=False)


def case_messages(upstream: Any, tmp_path: Path) -> Case:
    thought, words = shapes.thinking("A look."), shapes.text("It is 4.")
    call = shapes.use("c7", "shell", {"commands": COMMANDS})
    model = AnthropicModel(anthropic_client.AnthropicUpstream(upstream.url, "sk", retry=RetryPolicy(0)))
    return Case(
        model,
        lambda: upstream.says(*shapes.stream(thought, call, stop="tool_use")),
        lambda: upstream.says(*shapes.stream(words)),
        lambda: upstream.says(*shapes.stream(words, stop=None)[:4], hold=True),
    )


@pytest.fixture(params=[case_scripted, case_chat, case_native, case_function, case_messages])
def case(request: pytest.FixtureRequest, upstream: Any, tmp_path: Path) -> Case:
    made: Case = request.param(upstream, tmp_path)
    return made


USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Please  LIST it"}]}


async def deltas(model: Model, request: ModelRequest) -> list[ModelDelta]:
    return [delta async for delta in model.stream(request)]


def assembled(said: list[ModelDelta]) -> Assembler:
    assembler = Assembler(new_response({}, id="r", model="m", tools=[], created_at=0))
    assembler.begin()
    for delta in said:
        assembler.feed(delta)
    assembler.end_step()
    return assembler


def with_output(assembler: Assembler, stdout: str) -> list[dict[str, Any]]:
    """The conversation after the commands have run, as the runtime makes it."""
    (call,) = assembler.calls()
    assembler.open_output(call)
    for index in range(len(call.action.commands)):
        assembler.output(call.call_id, CommandResult(index, stdout, "", 0))
    assembler.close_output(call.call_id)
    return [USER, *(to_json(item) for item in assembler.response.output)]


async def test_a_turn_goes_call_output_message(case: Case) -> None:
    case.calls()
    first = assembled(await deltas(case.model, model_request("m", [USER])))
    (call,) = first.calls()
    assert call.action.commands == COMMANDS
    summary = next(item for item in first.response.output if item.type == "reasoning").summary
    assert [part.text for part in summary] == ["A look."]

    case.speaks()
    second = await deltas(case.model, model_request("m", with_output(first, "total 4.\n")))
    texts = [delta.text for delta in second if isinstance(delta, TextDelta)]
    assert "".join(texts).startswith("It is 4.")
    assert not any(isinstance(delta, CallDone) for delta in second)


async def test_the_request_is_left_as_it_was(case: Case) -> None:
    case.calls()
    conversation = with_output(assembled(await deltas(case.model, model_request("m", [USER]))), "total 4")
    request = model_request("m", conversation, "Be brief.", settings={"tool_choice": "auto"})
    before = copy.deepcopy(request)
    case.speaks()
    await deltas(case.model, request)
    assert request == before


async def test_closing_the_generator_ends_the_upstreams_request(case: Case, upstream: Any) -> None:
    if case.hangs is None:
        case.calls()
    else:
        case.hangs()
    stream = case.model.stream(model_request("m", [USER]))
    await anext(stream)
    await stream.aclose()
    if case.hangs is not None:
        await upstream.closed_early.wait()
    await case.model.aclose()


async def test_aclose_may_be_called_twice(case: Case) -> None:
    await case.model.aclose()
    await case.model.aclose()


async def test_the_direct_model_runs_the_message_and_says_nothing() -> None:
    model = DirectModel()
    command = {"role": "user", "content": "ls\nwc -l *"}
    first = assembled(await deltas(model, model_request("m", [USER, command])))
    (call,) = first.calls()
    assert call.action.commands == ["ls\nwc -l *"]
    assert await deltas(model, model_request("m", [command, *with_output(first, "")[1:]])) == []
    assert await deltas(model, model_request("m", [{"role": "user", "content": " "}])) == []
    await model.aclose()
