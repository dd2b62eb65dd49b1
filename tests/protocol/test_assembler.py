"""The assembler: event order of each kind of item, the table's law, and the ways to end."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.errors import MalformedModelOutput
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.deltas import (
    ItemBreak,
    ModelDelta,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
    Truncated,
    Usage,
)
from agent_kernel.protocol.items import (
    Response,
    ResponseStreamEvent,
    to_json,
)
from agent_kernel.protocol.response import new_response
from agent_kernel.tools.shell.items import ResponseFunctionShellToolCallOutput
from agent_kernel.tools.shell.run import CommandOutput, CommandResult
from tests.tools.made import function_delta, shell_delta, shell_done


def blank(request: dict[str, Any] | None = None) -> Response:
    return new_response(request or {}, id="resp_1", model="scripted/x", tools=[], created_at=1.5)


def begun() -> Assembler:
    assembler = Assembler(blank(), clock=lambda: 7.9)
    assembler.begin()
    return assembler


def feed(assembler: Assembler, *deltas: ModelDelta) -> list[ResponseStreamEvent]:
    return [event for delta in deltas for event in assembler.feed(delta)]


def types(events: list[ResponseStreamEvent]) -> list[str]:
    return [event.type.removeprefix("response.") for event in events]


def test_begin_shows_the_response_in_progress() -> None:
    events = Assembler(blank()).begin()
    assert types(events) == ["created", "in_progress"]
    assert [e.sequence_number for e in events] == [0, 1]
    assert to_json(events[0])["response"]["status"] == "in_progress"


def test_a_message() -> None:
    assembler = begun()
    events = feed(assembler, TextDelta("Hel"), TextDelta(""), TextDelta("lo")) + assembler.end_step()
    assert types(events) == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    item = to_json(assembler.response)["output"][0]
    assert item["content"] == [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]
    assert item["status"] == "completed"


def test_a_refusal_is_a_part_of_the_message() -> None:
    assembler = begun()
    feed(assembler, TextDelta("Well"), RefusalDelta("No"))
    assembler.end_step()
    content = to_json(assembler.response)["output"][0]["content"]
    assert [part["type"] for part in content] == ["output_text", "refusal"]


def test_reasoning_paragraphs_and_the_opaque_blob() -> None:
    assembler = begun()
    events = feed(
        assembler, ReasoningDelta("a"), ReasoningDelta("b", part=1), ReasoningOpaque("blob"), ItemBreak()
    )
    assert types(events) == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    item = to_json(assembler.response)["output"][0]
    assert [part["text"] for part in item["summary"]] == ["a", "b"]
    assert item["encrypted_content"] == "blob"


def test_reasoning_without_a_blob_has_no_such_field() -> None:
    assembler = begun()
    events = feed(assembler, ReasoningDelta("a"), ItemBreak())
    items = [to_json(event)["item"] for event in events if event.type.startswith("response.output_item")]
    assert len(items) == 2
    assert not any("encrypted_content" in item for item in items)


def test_an_opaque_blob_alone_is_an_item() -> None:
    assembler = begun()
    events = feed(assembler, ReasoningOpaque("blob")) + assembler.end_step()
    assert types(events) == ["output_item.added", "output_item.done"]


def test_a_shell_call_in_the_observed_order() -> None:
    assembler = begun()
    assembler.container_id = "cntr_1"
    events = feed(
        assembler,
        shell_delta("call_1", 0, "ls"),
        shell_delta("call_1", 0, " -l"),
        shell_delta("call_1", 1, "pwd"),
        shell_done("call_1", ("ls -l", "pwd"), timeout_ms=5),
    )
    assert types(events) == [
        "output_item.added",
        "shell_call_command.added",
        "shell_call_command.delta",
        "shell_call_command.delta",
        "shell_call_command.done",
        "shell_call_command.added",
        "shell_call_command.delta",
        "shell_call_command.done",
        "output_item.done",
    ]
    added, command = to_json(events[0])["item"], to_json(events[1])
    assert added["action"] == {"commands": [], "timeout_ms": None, "max_output_length": None}
    assert added["environment"] == {"type": "container_reference", "container_id": "cntr_1"}
    assert added["status"] == "in_progress"
    assert command["command"] == ""
    assert "item_id" not in command
    assert assembler.end_step() == []
    (call,) = assembler.calls()
    assert (call.action.commands, call.action.timeout_ms) == (["ls -l", "pwd"], 5)


def test_a_shell_call_without_deltas_has_the_same_events() -> None:
    events = feed(begun(), shell_done("call_1", ("ls", "pwd")))
    assert types(events).count("shell_call_command.added") == 2
    assert types(events)[-1] == "output_item.done"


def test_the_output_of_a_shell_call() -> None:
    assembler = begun()
    feed(assembler, shell_done("call_1", ("a", "b"), max_output_length=9))
    assembler.end_step()
    (call,) = assembler.calls()
    events = assembler.open_output(call)
    assert assembler.calls() == []
    events += assembler.output("call_1", CommandOutput(1, stdout="x"))
    events += assembler.output("call_1", CommandOutput(0, stderr="y"))
    assert assembler.output("call_1", CommandOutput(0)) == []
    events += assembler.output("call_1", CommandResult(1, "x", "", None))
    events += assembler.output("call_1", CommandResult(0, "", "y", 3))
    events += assembler.close_output("call_1")
    name = "shell_call_output_content"
    assert types(events) == [
        "output_item.added",
        *[f"{name}.delta"] * 2,
        *[f"{name}.done"] * 2,
        "output_item.done",
    ]
    json = [to_json(event) for event in events]
    assert (json[0]["item"]["status"], json[0]["item"]["output"]) == ("completed", [])
    assert json[1]["delta"] == {"stdout": "x"}
    assert json[3]["output"] == [{"stdout": "x", "stderr": "", "outcome": {"type": "timeout"}}]
    assert json[1]["item_id"] == json[5]["item"]["id"]
    item = json[5]["item"]
    assert [o["outcome"] for o in item["output"]] == [{"type": "exit", "exit_code": 3}, {"type": "timeout"}]
    assert item["max_output_length"] == 9


def test_outputs_that_end_in_another_order_keep_their_place() -> None:
    assembler = begun()
    feed(assembler, shell_done("c1", ("a",)), shell_done("c2", ("b",)))
    assembler.end_step()
    for call in assembler.calls():
        assembler.open_output(call)
    for call_id in ("c2", "c1"):
        assembler.output(call_id, CommandResult(0, "", "", 0))
        assembler.close_output(call_id)
    outputs = [i for i in assembler.response.output if isinstance(i, ResponseFunctionShellToolCallOutput)]
    assert [item.call_id for item in outputs] == ["c1", "c2"]


def test_a_function_call() -> None:
    assembler = begun()
    events = feed(
        assembler,
        function_delta("c1", "plot", '{"a"'),
        function_delta("c1", "plot", ":1}"),
        function_delta("c2", "plot", ""),
    )
    events += assembler.end_step()
    delta, done = "function_call_arguments.delta", "function_call_arguments.done"
    assert types(events) == [
        *["output_item.added", delta, delta, done, "output_item.done"],
        *["output_item.added", done, "output_item.done"],
    ]
    assert [c.arguments for c in assembler.client_calls()] == ['{"a":1}', ""]


def test_calls_belong_to_the_step_just_ended() -> None:
    assembler = begun()
    feed(assembler, function_delta("c1", "f", "{}"))
    assembler.end_step()
    assembler.end_step()
    assert assembler.client_calls() == []


def test_cut_off_stream_leaves_item_incomplete_and_call_unrunnable() -> None:
    assembler = begun()
    feed(assembler, shell_delta("c1", 0, "rm -r"), Truncated("max_output_tokens"))
    assembler.end_step()
    assert assembler.truncated == "max_output_tokens"
    assert assembler.calls() == []
    assembler.incomplete("max_output_tokens")
    call, output = to_json(assembler.response)["output"]
    assert call["status"] == "incomplete"
    assert output["call_id"] == "c1"


def test_complete_sums_usage_and_says_when() -> None:
    assembler = begun()
    feed(assembler, TextDelta("a"), Usage(10, 2, cached_tokens=4))
    assembler.end_step()
    feed(assembler, TextDelta("b"), Usage(20, 3, reasoning_tokens=1))
    assembler.end_step()
    (event,) = assembler.complete()
    response = to_json(event)["response"]
    assert (response["status"], response["completed_at"]) == ("completed", 7)
    usage = response["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (30, 5, 35)
    assert usage["input_tokens_details"]["cached_tokens"] == 4
    assert usage["output_tokens_details"]["reasoning_tokens"] == 1


def test_incomplete_answers_the_running_call_with_what_it_printed() -> None:
    assembler = begun()
    feed(assembler, shell_done("c1", ("a", "b")), shell_done("c2", ("d",)))
    assembler.end_step()
    assembler.open_output(assembler.calls()[0])
    assembler.output("c1", CommandResult(0, "whole", "", 0))
    assembler.output("c1", CommandOutput(1, stdout="part", stderr="warn"))
    events = assembler.incomplete("interrupted")
    assert types(events)[-1] == "incomplete"
    response = to_json(events[-1])["response"]
    assert response["incomplete_details"] == {"reason": "interrupted"}
    running, waiting = [item for item in response["output"] if item["type"] == "shell_call_output"]
    assert running["status"] == waiting["status"] == "incomplete"
    assert [o["stdout"] for o in running["output"]] == ["whole", "part"]
    assert running["output"][1]["stderr"].startswith("warn\n")
    assert waiting["output"][0]["outcome"] == {"type": "exit", "exit_code": 130}


def test_fail_sends_the_error_flat_and_nested() -> None:
    assembler = begun()
    feed(assembler, TextDelta("half"))
    events = assembler.fail(code="upstream_interrupted", message="It broke off.")
    assert types(events)[-3:] == ["output_item.done", "error", "failed"]
    error, failed = to_json(events[-2]), to_json(events[-1])["response"]
    assert error["message"] == error["error"]["message"] == "It broke off."
    assert error["error"]["code"] == failed["error"]["code"] == "upstream_interrupted"
    assert failed["output"][0]["status"] == "incomplete"


def test_fail_before_begin_is_a_whole_stream() -> None:
    events = Assembler(blank()).fail(code="server_error", message="x")
    assert types(events) == ["created", "in_progress", "error", "failed"]


@pytest.mark.parametrize(
    "deltas",
    [
        [shell_done("c", ())],
        [shell_delta("c", 1, "x")],
        [shell_delta("c", 0, "x"), shell_delta("c", 2, "x")],
        [shell_delta("c", 0, "x"), shell_done("c", ("y",))],
        [shell_done("c", ("x",)), shell_done("c", ("x",))],
        [function_delta("c", "f", "{"), shell_done("c", ("x",))],
    ],
)
def test_an_impossible_call_is_refused_without_a_gap(deltas: list[ModelDelta]) -> None:
    assembler = Assembler(blank())
    events = assembler.begin() + feed(assembler, TextDelta("open"), *deltas[:-1])
    with pytest.raises(MalformedModelOutput):
        assembler.feed(deltas[-1])
    events += assembler.fail(code="malformed", message="x")
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_the_table_is_the_law() -> None:
    fresh = Assembler(blank())
    with pytest.raises(RuntimeError, match="TextDelta is not possible in state NEW"):
        fresh.feed(TextDelta("x"))
    ended = begun()
    ended.complete()
    for act in (ended.complete, ended.begin, ended.end_step):
        with pytest.raises(RuntimeError):
            act()


def test_events_keep_the_response_as_it_was() -> None:
    assembler = Assembler(blank())
    created = assembler.begin()[0]
    feed(assembler, TextDelta("x"))
    assembler.complete()
    assert to_json(created)["response"]["output"] == []
    assert to_json(created)["response"]["status"] == "in_progress"


def test_every_nullable_field_is_present() -> None:
    json = to_json(blank({"instructions": None, "reasoning": {"effort": "low"}, "metadata": {"a": "b"}}))
    for name in ("completed_at", "incomplete_details", "previous_response_id", "usage", "error", "user"):
        assert name in json
        assert json[name] is None
    assert json["reasoning"] == {"effort": "low", "summary": None}
    assert json["metadata"] == {"a": "b"}
    assert json["text"]["format"] == {"type": "text"}
    assert json["created_at"] == 1
    assert isinstance(json["created_at"], int)


def test_tools_are_echoed_unknown_ones_too() -> None:
    tools: list[dict[str, Any]] = [
        {"type": "function", "name": "f"},
        {"type": "namespace", "name": "n", "tools": []},
    ]
    json = to_json(new_response({}, id="r", model="m", tools=tools, created_at=0))
    assert json["tools"][0] == {
        "type": "function",
        "name": "f",
        "description": None,
        "parameters": None,
        "strict": True,
    }
    assert json["tools"][1]["type"] == "namespace"


def test_the_whole_call_completes_what_was_streamed_of_it() -> None:
    assembler = begun()
    events = feed(
        assembler,
        shell_delta("c1", 0, "ls"),
        shell_delta("c1", 1, "pw"),
        shell_done("c1", ("ls", "pwd", "id")),
    )
    deltas = [to_json(event)["delta"] for event in events if event.type.endswith("command.delta")]
    assert deltas == ["ls", "pw", "d", "id"]


@pytest.mark.parametrize("then", [TextDelta("So."), ItemBreak(), shell_done("c2", ("ls",)), None])
def test_half_a_shell_call_is_never_one_to_run(then: ModelDelta | None) -> None:
    assembler = begun()
    feed(assembler, shell_delta("c1", 0, "rm -r /mnt/data/old"))
    with pytest.raises(MalformedModelOutput, match="is cut off"):
        assembler.end_step() if then is None else assembler.feed(then)
    call, output = to_json(assembler.fail(code="malformed", message="x")[-1])["response"]["output"]
    assert call["status"] == output["status"] == "incomplete"


def test_a_call_handed_over_to_the_client_is_left_unanswered() -> None:
    assembler = begun()
    feed(assembler, shell_done("c1", ("ls",)), shell_done("c2", ("pwd",)))
    assembler.end_step()
    first, second = assembler.calls()
    assembler.hand_over(first)
    assert assembler.calls() == [second]
    with pytest.raises(RuntimeError, match="unknown or has an output"):
        assembler.hand_over(first)
    output = to_json(assembler.incomplete("interrupted")[-1])["response"]["output"]
    assert [i["call_id"] for i in output if i["type"] == "shell_call_output"] == ["c2"]
