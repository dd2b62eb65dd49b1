"""A server that is killed in mid-turn: what it had done is kept, and every chain can be continued."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests import forked

SCRIPT = Path(__file__).parent / "acceptance.yaml"
SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}
RECOVERY = ("--server-lease", "2", "--background-restart", "end")
FLAGS = ("--model", f"scripted/{SCRIPT}", "--sandbox", "bubblewrap", *RECOVERY)


class Process:
    """`agent-kernel serve`, to be killed."""

    def __init__(self, environment: dict[str, str], *flags: str) -> None:
        self._process, url = forked.serve(*flags, environment=environment)
        self.client = OpenAI(base_url=url, api_key="x", max_retries=0)

    def end(self, signal_: int) -> None:
        self._process.send_signal(signal_)
        self._process.wait()
        self.client.close()


@pytest.fixture
def serve(own_environment: dict[str, str], bubblewrap_backend: object) -> Iterator[Any]:
    running: list[Process] = []

    def start() -> Process:
        """Start a server on the embedded sandbox that ends the turns of dead servers."""
        running.append(Process(own_environment, *FLAGS))
        return running[-1]

    yield start
    for process in running:
        if process._process.poll() is None:
            process.end(signal.SIGTERM)


def until_a_command_runs(client: OpenAI, streams: ExitStack, **request: Any) -> str:
    """Return the id of a new turn whose command runs.

    The stream stays open until `streams` closes: a turn whose client leaves ends as cancelled.
    """
    asked = client.responses.create(input="wait", tools=[SHELL], stream=True, **request)
    stream = streams.enter_context(asked)
    response_id = ""
    for event in stream:
        if event.type == "response.created":
            response_id = event.response.id
        if event.type == "response.output_item.added" and event.item.type == "shell_call_output":
            return response_id
    raise AssertionError("the turn ended")


@pytest.mark.bubblewrap
def test_killed_in_mid_turn(serve: Any, own_environment: dict[str, str]) -> None:
    first = serve()
    conversation = first.client.conversations.create()
    made = first.client.responses.create(input="make a file", tools=[SHELL])
    with ExitStack() as streams:
        plain = until_a_command_runs(first.client, streams, previous_response_id=made.id)
        behind = until_a_command_runs(first.client, streams, background=True, conversation=conversation.id)
        done = first.client.responses.create(input="chat")
        first.end(signal.SIGKILL)

    client = serve().client
    for response_id in (plain, behind):
        stored = client.responses.retrieve(response_id)
        assert stored.status == "incomplete"
        assert stored.incomplete_details.reason == "agent_kernel.interrupted"
        call, output = stored.output
        assert (call.type, output.type) == ("shell_call", "shell_call_output")
        assert call.call_id == output.call_id
        assert output.output[0].outcome.exit_code == 130
        later = client.responses.create(input="chat", previous_response_id=response_id)
        assert later.output_text == "Hello there."
    events = list(client.responses.retrieve(behind, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.incomplete"
    items = client.conversations.items.list(conversation.id, order="asc").data
    assert [item.type for item in items] == ["message", "shell_call", "shell_call_output"]
    assert client.responses.retrieve(done.id).output_text == "Hello there."
    path = Path(own_environment["AGENT_KERNEL_DATA_DIR"]) / "store.sqlite"
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM responses WHERE owner IS NOT NULL").fetchone() == (0,)
    connection.close()


@pytest.mark.bubblewrap
def test_a_turn_of_another_server_is_followed_and_cancelled(serve: Any) -> None:
    first, second = serve(), serve()
    begun = first.client.responses.create(input="count slowly", tools=[SHELL], background=True)
    assert second.client.responses.retrieve(begun.id).status != "incomplete"
    there = list(second.client.responses.retrieve(begun.id, stream=True))
    assert [event.sequence_number for event in there] == list(range(len(there)))
    assert there[-1].type == "response.completed"
    assert [e.to_dict() for e in first.client.responses.retrieve(begun.id, stream=True)] == [
        event.to_dict() for event in there
    ]
    assert second.client.responses.create(input="chat", previous_response_id=begun.id).status == "completed"
    waits = first.client.responses.create(input="wait", tools=[SHELL], background=True)
    stream = second.client.responses.retrieve(waits.id, stream=True)
    for event in stream:
        if event.type == "response.output_item.added" and event.item.type == "shell_call_output":
            break
    assert second.client.responses.cancel(waits.id).status == "cancelled"
    assert next(reversed(list(stream))).response.status == "cancelled"
    assert first.client.responses.retrieve(waits.id).status == "cancelled"
    gone = first.client.responses.create(input="wait", tools=[SHELL], background=True)
    second.client.responses.delete(gone.id)
    with pytest.raises(openai.NotFoundError):
        first.client.responses.retrieve(gone.id)


@pytest.mark.bubblewrap
def test_a_follower_learns_that_the_other_server_was_killed(serve: Any) -> None:
    first, second = serve(), serve()
    begun = first.client.responses.create(input="wait", tools=[SHELL], background=True)
    events = []
    for event in second.client.responses.retrieve(begun.id, stream=True):
        events.append(event)
        if event.type == "response.output_item.added" and event.item.type == "shell_call_output":
            first.end(signal.SIGKILL)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "agent_kernel.interrupted"
    assert second.client.responses.create(input="chat", previous_response_id=begun.id).status == "completed"
