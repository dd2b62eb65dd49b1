"""Turns in the background: followed, left, resumed and cancelled by the official SDK."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import FunctionShellToolParam, Response, ResponseStreamEvent

SHELL: FunctionShellToolParam = {"type": "shell", "environment": {"type": "container_auto"}}


def ended(client: OpenAI, response_id: str) -> Response:
    deadline = time.monotonic() + 60
    while (response := client.responses.retrieve(response_id)).status in ("queued", "in_progress"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return response


def numbers(events: list[ResponseStreamEvent]) -> list[int]:
    return [event.sequence_number for event in events]


def test_it_is_queued_and_comes_to_its_end_without_anybody(client: OpenAI) -> None:
    begun = client.responses.create(input="make a file", tools=[SHELL], background=True)
    assert (begun.status, begun.background, begun.output) == ("queued", True, [])
    response = ended(client, begun.id)
    assert response.status == "completed"
    assert response.output_text == "The file is there."
    later = client.responses.create(input="look again", tools=[SHELL], previous_response_id=begun.id)
    assert later.output_text == "It says hello."


def test_a_stream_that_was_left_is_resumed_where_it_was(client: OpenAI) -> None:
    seen: list[ResponseStreamEvent] = []
    with client.responses.create(input="count slowly", tools=[SHELL], background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if event.type == "response.shell_call_output_content.delta":
                break
    assert [event.type for event in seen[:3]] == [
        "response.created", "response.queued", "response.in_progress",
    ]  # fmt: skip
    created: Any = seen[0]
    response_id = created.response.id
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number))
    assert rest[-1].type == "response.completed"
    assert numbers([*seen, *rest]) == list(range(len(seen) + len(rest)))
    again = list(client.responses.retrieve(response_id, stream=True))  # and once more, from the beginning
    assert numbers(again) == numbers([*seen, *rest])
    assert again[-1].response.output_text == "Counted."  # type: ignore[union-attr]
    assert (
        list(client.responses.retrieve(response_id, stream=True, starting_after=again[-1].sequence_number))
        == []
    )


def test_the_sdks_own_accumulator_follows_it(client: OpenAI) -> None:
    with client.responses.stream(input="make a file", tools=[SHELL], model="", background=True) as stream:
        first: Any = next(iter(stream))
        response_id = first.response.id
    with client.responses.stream(response_id=response_id) as stream:
        assert stream.get_final_response().output_text == "The file is there."


def test_progress_is_seen(client: OpenAI) -> None:
    with client.responses.create(input="wait", tools=[SHELL], background=True, stream=True) as stream:
        first: Any = next(iter(stream))
        for event in stream:
            if event.type == "response.output_item.added" and event.item.type == "shell_call_output":
                break
    now = client.responses.retrieve(first.response.id)
    assert now.status == "in_progress"
    assert [item.type for item in now.output] == ["shell_call"]
    client.responses.cancel(now.id)


def test_cancel_stops_the_command_and_leaves_a_chain_that_goes_on(client: OpenAI) -> None:
    begun = client.responses.create(input="wait", tools=[SHELL], background=True)
    while not client.responses.retrieve(begun.id).output:
        time.sleep(0.02)
    cancelled = client.responses.cancel(begun.id)
    assert cancelled.status == "cancelled"
    call, output = cancelled.output
    assert (call.type, output.type) == ("shell_call", "shell_call_output")
    assert client.responses.cancel(begun.id).to_dict() == cancelled.to_dict()
    assert client.responses.retrieve(begun.id).status == "cancelled"
    (*_, last) = client.responses.retrieve(begun.id, stream=True)
    assert (last.type, last.response.status) == ("response.incomplete", "cancelled")  # type: ignore[union-attr]
    ps = client.responses.create(
        model="agent_kernel/shell",
        input="cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
        tools=[SHELL],
        previous_response_id=begun.id,
    )
    printed: Any = ps.output[-1]
    assert "sleep 600" not in printed.output[0].stdout


def test_only_background_responses_are_cancelled_or_followed(client: OpenAI) -> None:
    response = client.responses.create(input="chat")
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(response.id)
    with pytest.raises(openai.BadRequestError, match="background"):
        list(client.responses.retrieve(response.id, stream=True))
    assert client.responses.retrieve(response.id).status == "completed"
    with pytest.raises(openai.BadRequestError, match="store"):
        client.responses.create(input="chat", background=True, store=False)


def test_one_that_fails_says_so(client: OpenAI) -> None:
    begun = client.responses.create(input="out of script", background=True)
    failed = ended(client, begun.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert "make a file" in failed.error.message


def test_one_that_runs_cannot_be_continued_and_can_be_deleted(client: OpenAI) -> None:
    begun = client.responses.create(input="wait", tools=[SHELL], background=True)
    with pytest.raises(openai.BadRequestError, match="still"):
        client.responses.create(input="chat", previous_response_id=begun.id)
    client.responses.delete(begun.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(begun.id)


def test_a_stopping_server_ends_them_in_good_order(start: Any) -> None:
    first = start("sk-test")
    with first.client() as client:
        begun = client.responses.create(input="wait", tools=[SHELL], background=True)
        while not client.responses.retrieve(begun.id).output:
            time.sleep(0.02)
    first.stop()
    second = start("sk-test")
    with second.client() as client:
        stored = client.responses.retrieve(begun.id)
        assert stored.status == "incomplete"
        assert stored.incomplete_details is not None
        assert stored.incomplete_details.reason == "agent_kernel.server_stopped"
        assert stored.output[-1].type == "shell_call_output"
