"""Ends of responses whose process died, at every place where one may die."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseOutputItem
from pydantic import TypeAdapter

from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.broken import end_broken
from agent_kernel.protocol.deltas import ReasoningDelta, TextDelta
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.response import new_response
from agent_kernel.protocol.sse import event_of
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.code_interpreter.session import told
from agent_kernel.tools.shell.run import CommandOutput, CommandResult
from tests.tools.made import code_delta, code_done, function_delta, shell_done


def whole() -> list[dict[str, Any]]:
    """The events of a turn with an item of each kind."""
    response = new_response({}, id="resp_1", model="m", tools=[], created_at=1)
    assembler = Assembler(response)
    assembler.container_id = "cntr_1"
    events = [*assembler.queue(), *assembler.begin()]
    for delta in (
        ReasoningDelta("Let me "), ReasoningDelta("see."), ReasoningDelta("Then.", part=1),
        shell_done("call_1", ("one", "two")), code_delta("call_0", "1 +"), code_done("call_0", "1 + 1"),
    ):  # fmt: skip
        events += assembler.feed(delta)
    events += assembler.end_step()
    call, code = assembler.calls()
    events += assembler.open_output(code)
    events += assembler.open_output(call)
    events += assembler.output("call_1", CommandOutput(0, stdout="1"))
    events += assembler.output("call_1", CommandResult(0, "1", "", 0))
    events += assembler.output("call_1", CommandOutput(1, stdout="half", stderr="wrong"))
    events += assembler.output("call_1", CommandResult(1, "half", "wrong", 1))
    events += assembler.output(code.id, told("ok", "2"))
    events += assembler.close_output(code.id)
    events += assembler.close_output("call_1")
    for last in (TextDelta("Here "), TextDelta("it is."), function_delta("call_2", "f", '{"a": 1}')):
        events += assembler.feed(last)
    events += assembler.end_step()
    return [to_json(event) for event in (*events, *assembler.complete())]


EVENTS = whole()
ITEM: TypeAdapter[Any] = TypeAdapter(ResponseOutputItem)


@pytest.mark.parametrize("cut", range(1, len(EVENTS)))
def test_an_end_for_every_beginning(cut: int) -> None:
    skeleton = EVENTS[0]["response"]
    ending = end_broken(skeleton, EVENTS[:cut], "agent_kernel.interrupted", catalogue())
    journal = [*EVENTS[:cut], *ending.events]
    assert [event["sequence_number"] for event in journal] == list(range(len(journal)))
    added = [e["output_index"] for e in journal if e["type"] == "response.output_item.added"]
    done = [e["output_index"] for e in journal if e["type"] == "response.output_item.done"]
    assert added == sorted(set(added))
    assert sorted(done) == added
    events = [event for each in journal if (event := event_of(each)) is not None]
    assert len(events) == len(journal)
    response = fold(events)
    assert response.status == "incomplete"
    assert to_json(response)["output"] == ending.response["output"]
    for item in ending.response["output"]:
        ITEM.validate_python(item)
    calls = [i["call_id"] for i in ending.response["output"] if i["type"] == "shell_call"]
    outputs = [i for i in ending.response["output"] if i["type"] == "shell_call_output"]
    assert calls == [output["call_id"] for output in outputs]
    for output in outputs:
        commands = next(i for i in ending.response["output"] if i["type"] == "shell_call")["action"][
            "commands"
        ]
        assert len(output["output"]) == len(commands)


def test_what_had_been_printed_is_kept() -> None:
    cut = next(
        number for number, event in enumerate(EVENTS)
        if event["type"] == "response.shell_call_output_content.delta" and event["command_index"] == 1
    )  # fmt: skip
    ending = end_broken(EVENTS[0]["response"], EVENTS[: cut + 1], "agent_kernel.interrupted", catalogue())
    first, second = ending.response["output"][-1]["output"]
    assert (first["stdout"], first["outcome"]["exit_code"]) == ("1", 0)
    assert second["stdout"] == "half"
    assert second["outcome"]["exit_code"] == 130


def test_from_the_finished_items_alone() -> None:
    items = [event for event in EVENTS if event["type"] == "response.output_item.done"][:2]
    ending = end_broken(EVENTS[0]["response"], items, "agent_kernel.interrupted", catalogue())
    assert [item["type"] for item in ending.response["output"]] == [
        "reasoning", "shell_call", "shell_call_output",
    ]  # fmt: skip
