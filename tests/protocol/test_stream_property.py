"""Whatever a model says: the stream passes the package's own strict accumulator, and adds up."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState

from agent_kernel.errors import MalformedModelOutput
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.deltas import (
    AnnotationDelta,
    ItemBreak,
    MessagePhase,
    ModelDelta,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
    Truncated,
    UpstreamEvent,
    UpstreamItem,
    UpstreamItemDone,
    Usage,
)
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import ResponseStreamEvent, to_json
from agent_kernel.protocol.response import new_response
from agent_kernel.tools.code_interpreter.session import told
from agent_kernel.tools.shell.run import CommandOutput, CommandResult
from tests.tools.made import code_delta, code_done, function_delta, shell_delta, shell_done

text = st.text(string.ascii_letters + " \n{}é", max_size=6)
call_id = st.sampled_from(["c1", "c2", "c3"])
upstreams_key = st.sampled_from(["0", "1"])
upstreams_item = st.fixed_dictionaries(
    {"type": st.sampled_from(["web_search_call", "image_generation_call"])},
    optional={"status": st.just("completed"), "id": text, "call_id": st.none() | call_id},
)
wild_delta: st.SearchStrategy[ModelDelta] = st.one_of(
    st.builds(ReasoningDelta, text, st.integers(0, 2)),
    st.builds(ReasoningOpaque, text),
    st.builds(TextDelta, text),
    st.builds(RefusalDelta, text),
    st.builds(AnnotationDelta, st.just({"type": "file_path", "file_id": "file_1", "index": 0})),
    st.builds(MessagePhase, st.sampled_from(["commentary", "final_answer"])),
    st.builds(shell_delta, call_id, st.integers(0, 2), text),
    st.builds(shell_done, call_id, st.lists(text, max_size=3).map(tuple)),
    st.builds(function_delta, call_id, st.just("f"), text),
    st.builds(code_delta, call_id, text),
    st.builds(code_done, call_id, text),
    st.builds(ItemBreak),
    st.builds(UpstreamItem, upstreams_key, upstreams_item),
    st.builds(UpstreamEvent, upstreams_key, st.just({"type": "response.web_search_call.searching"})),
    st.builds(UpstreamItemDone, upstreams_key, upstreams_item),
    st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
    st.builds(Truncated, st.just("max_output_tokens")),
)


@st.composite
def whole_call(draw: st.DrawFn) -> list[ModelDelta]:
    """A shell call as a good model body gives it: streamed, perhaps only in part, and then whole."""
    identity, commands = draw(call_id), draw(st.lists(text, min_size=1, max_size=3))
    shown = draw(st.integers(0, len(commands)))
    pieces: list[ModelDelta] = [shell_delta(identity, i, commands[i]) for i in range(shown)]
    return [*pieces, shell_done(identity, tuple(commands))]


@st.composite
def whole_code(draw: st.DrawFn) -> list[ModelDelta]:
    """A call that will hold its output, streamed up to some place, and then whole."""
    identity, code = draw(call_id), draw(text)
    return [code_delta(identity, code[: draw(st.integers(0, len(code)))]), code_done(identity, code)]


step = st.lists(whole_call() | whole_code() | wild_delta.map(lambda delta: [delta]), max_size=8).map(
    lambda groups: [delta for group in groups for delta in group]
)
ending = st.sampled_from(["complete", "incomplete", "fail", "cut off"])


def play(steps: list[list[ModelDelta]], end: str, data: st.DataObject) -> list[ResponseStreamEvent]:
    assembler = Assembler(new_response({}, id="resp_1", model="m", tools=[], created_at=0))
    assembler.container_id = "cntr_1"
    events = assembler.begin()
    try:
        for deltas in steps:
            for delta in deltas:
                events += assembler.feed(delta)
            if end == "cut off" and deltas is steps[-1]:
                return events + assembler.incomplete("interrupted")
            events += assembler.end_step()
            events += run(assembler, data)
    except MalformedModelOutput:
        return events + assembler.fail(code="malformed", message="x")
    if end == "complete":
        return events + assembler.complete()
    if end == "fail":
        return events + assembler.fail(code="server_error", message="x")
    return events + assembler.incomplete("interrupted")


def run(assembler: Assembler, data: st.DataObject) -> list[ResponseStreamEvent]:
    events: list[ResponseStreamEvent] = []
    for call in assembler.calls():
        runs = data.draw(st.booleans())
        if call.type == "code_interpreter_call" and data.draw(st.booleans()):
            events += assembler.hand_over(call)
            continue
        events += assembler.open_output(call, runs=runs)
        if call.type == "code_interpreter_call":
            if runs:
                events += assembler.output(call.id, told("ok", "printed"))
            events += assembler.close_output(call.id)
            continue
        for index, command in enumerate(call.action.commands):
            events += assembler.output(call.call_id, CommandOutput(index, stdout=command))
            if data.draw(st.booleans()):
                events += assembler.output(call.call_id, CommandResult(index, command, "", 0))
        events += assembler.close_output(call.call_id)
    return events


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(step, min_size=1, max_size=3), end=ending, data=st.data())
def test_any_sequence_of_deltas(steps: list[list[ModelDelta]], end: str, data: st.DataObject) -> None:
    events = play(steps, end, data)
    assert [event.sequence_number for event in events] == list(range(len(events)))

    accumulator: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        accumulator.handle_event(event.model_copy(deep=True))

    json = [to_json(event) for event in events]
    added = [e["output_index"] for e in json if e["type"] == "response.output_item.added"]
    done = {e["output_index"]: e["item"] for e in json if e["type"] == "response.output_item.done"}
    final = json[-1]["response"]
    assert added == list(range(len(added)))
    assert final["output"] == [done[index] for index in added]
    assert to_json(fold(events)) == final


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(step, min_size=1, max_size=3), end=ending, data=st.data())
def test_the_deltas_add_up_to_the_items(steps: list[list[ModelDelta]], end: str, data: st.DataObject) -> None:
    json = [to_json(event) for event in play(steps, end, data)]
    texts: dict[tuple[int, int, str], str] = {}
    for event in json:
        kind, _, what = event["type"].rpartition(".")
        if what == "delta" and isinstance(event["delta"], str):
            part = event.get("content_index", event.get("summary_index", event.get("command_index", 0)))
            key = (event["output_index"], part, kind)
            texts[key] = texts.get(key, "") + event["delta"]
    output = json[-1]["response"]["output"]
    for (index, part, _), whole in texts.items():
        item = output[index]
        match item["type"]:
            case "message":
                found = item["content"][part].get("text", item["content"][part].get("refusal"))
            case "reasoning":
                found = item["summary"][part]["text"]
            case "shell_call":
                found = item["action"]["commands"][part]
            case "code_interpreter_call":
                found = item["code"]
            case _:
                found = item["arguments"]
        assert found == whole


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(step, min_size=1, max_size=3), data=st.data())
def test_after_an_interruption_every_shell_call_has_an_output(
    steps: list[list[ModelDelta]], data: st.DataObject
) -> None:
    output = to_json(play(steps, "cut off", data)[-1])["response"]["output"]
    calls = [item["call_id"] for item in output if item["type"] == "shell_call"]
    answered = [item["call_id"] for item in output if item["type"] == "shell_call_output"]
    assert sorted(calls) == sorted(answered)
