"""A turn that was begun on one server is followed, cancelled, approved, steered and continued on others."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.server.chaos.checks import left
from tests.server.test_killed import Process
from tests.store.postgres import Postgres

SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}
ASK: Any = {"agent_kernel": {"approval": "ask"}}
FLAGS = ("--model", f"scripted/{Path(__file__).parent / 'replicas.yaml'}", "--sandbox", "bubblewrap")

Start = Callable[..., Any]


@pytest.fixture
def start(postgres: Postgres, own_environment: dict[str, str], bubblewrap_backend: object) -> Iterator[Start]:
    """Starts servers on one PostgreSQL store. Nothing is left of their containers."""
    running: list[Process] = []
    environment = {**own_environment, "AGENT_KERNEL_STORE": postgres.new()}

    def start(**more: str) -> Process:
        running.append(Process({**environment, **more}, *FLAGS))
        return running[-1]

    yield start
    cleaner = start().client
    for container in cleaner.containers.list():
        cleaner.containers.delete(container.id)
    for process in running:
        if process._process.poll() is None:
            process.end(signal.SIGTERM)
    assert list(left(Path(own_environment["AGENT_KERNEL_DATA_DIR"]))) == []


def numbers(events: list[Any]) -> list[int]:
    return [event.sequence_number for event in events]


def held(client: Any, input: str = "hold") -> tuple[list[Any], str]:  # noqa: A002
    """Begin a background turn and read until its second command waits; return events and container."""
    events: list[Any] = []
    container = ""
    for event in client.responses.create(input=input, tools=[SHELL], stream=True, background=True):
        events.append(event)
        if event.type == "response.output_item.done" and event.item.type == "shell_call":
            container = event.item.to_dict()["environment"]["container_id"]
        printed = event.to_dict()["delta"] if event.type == "response.shell_call_output_content.delta" else {}
        if "err" in printed.get("stderr", ""):
            return events, container
    raise AssertionError("the turn ended")


def go(client: Any, container: str) -> None:
    client.containers.files.create(container, file=("go", b""))


@pytest.mark.bubblewrap
def test_a_turn_is_led_from_any_server(start: Start) -> None:
    first, second, third = (start().client for _ in range(3))
    asked = first.responses.create(input="note", tools=[SHELL], extra_body=ASK)
    request = asked.output[-1]
    assert request.type == "mcp_approval_request"
    answer: Any = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
    given = second.responses.create(previous_response_id=asked.id, input=[answer], tools=[SHELL])
    assert given.output_text == "Noted."
    with pytest.raises(openai.BadRequestError) as again:
        third.responses.create(previous_response_id=asked.id, input=[answer], tools=[SHELL])
    assert again.value.code == "approval_already_answered"
    later = third.responses.create(input="note", tools=[SHELL], previous_response_id=given.id)
    (output,) = [item for item in later.output if item.type == "shell_call_output"]
    assert output.output[0].stdout == "2\n", "in the same container, and once for each call"

    begun, _ = held(first)
    response_id = begun[0].response.id
    assert second.responses.retrieve(response_id).status == "in_progress"
    after = begun[2].sequence_number
    stream = second.responses.retrieve(response_id, stream=True, starting_after=after)
    followed = [next(stream) for _ in range(3)]
    assert third.responses.cancel(response_id).status == "cancelled"
    followed += list(stream)
    assert numbers(followed) == list(range(after + 1, after + 1 + len(followed)))
    assert followed[-1].response.status == "cancelled"
    assert first.responses.retrieve(response_id).status == "cancelled"
    second.responses.delete(response_id)
    with pytest.raises(openai.NotFoundError):
        first.responses.retrieve(response_id)


def say(socket: Connection, kind: str = "response.create", **fields: Any) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def heard(socket: Connection, until: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != until:
        events.append(json.loads(socket.recv(timeout=120)))
    return events


def socket_url(server: Any) -> str:
    return str(server.client.base_url).replace("http", "ws", 1) + "responses"


@pytest.mark.bubblewrap
def test_a_turn_is_steered_from_another_server(start: Start) -> None:
    first, second = start(), start()
    with connect(socket_url(first)) as here, connect(socket_url(second)) as there:
        say(here, input="hold", tools=[SHELL])
        events = heard(here, "response.output_item.done")
        response_id = events[0]["response"]["id"]
        container = events[-1]["item"]["environment"]["container_id"]
        say(there, "response.steer", previous_response_id=response_id, input=[])
        assert heard(there, "response.steer.failed")[-1]["error"]["code"] == "invalid_input"
        say(there, "response.steer", previous_response_id=response_id, input="change course")
        accepted = heard(there, "response.steer.accepted")[-1]
        assert accepted["steer"]["previous_response_id"] == response_id
        go(second.client, container)
        rest = heard(here, "response.incomplete")
        counted = [event["sequence_number"] for event in (*events, *rest)]
        assert counted == list(range(len(counted))), "what goes to the other connection has no number here"
        assert rest[-1]["response"]["incomplete_details"] == {"reason": "steered"}
        new = heard(here, "response.completed")[-1]["response"]
        assert new["previous_response_id"] == response_id
        say(there, "response.steer", previous_response_id=response_id, input="change course")
        assert heard(there, "response.steer.failed")[-1]["error"]["code"] == "response_not_found"
    stored = second.client.responses.retrieve(new["id"])
    assert stored.output_text == "On another course."


@pytest.mark.bubblewrap
def test_a_stopping_server_hands_its_turns_over(start: Start) -> None:
    first, second = start(), start()
    begun, container = held(first.client)
    response_id = begun[0].response.id
    stream = second.client.responses.retrieve(response_id, stream=True)
    followed = [next(stream) for _ in begun]
    first.end(signal.SIGTERM)
    go(second.client, container)
    followed += list(stream)
    assert numbers(followed) == list(range(len(followed)))
    stored = second.client.responses.retrieve(response_id)
    assert (stored.status, stored.output_text) == ("completed", "Done.")
    output = [item for item in stored.output if item.type == "shell_call_output"]
    assert output[-1].output[0].stdout == "first\nsecond\nthird\nfourth\n", "each has run once"
    alone, _ = held(second.client)
    second.end(signal.SIGTERM)
    third = start()
    ended = third.client.responses.retrieve(alone[0].response.id)
    assert (ended.status, ended.incomplete_details and ended.incomplete_details.reason) == (
        "incomplete",
        "agent_kernel.server_stopped",
    ), "nobody could go on with it"


@pytest.mark.bubblewrap
def test_a_restart_of_the_database_is_not_noticed(start: Start, postgres: Postgres) -> None:
    """In mid-turn, with a command that prints meanwhile and a follower on another server."""
    first, second = start(), start()
    begun, container = held(first.client)
    stream = second.client.responses.retrieve(begun[0].response.id, stream=True)
    followed = [next(stream) for _ in begun]
    postgres.crash()
    go(second.client, container)
    followed += list(stream)
    assert numbers(followed) == list(range(len(followed)))
    stored = first.client.responses.retrieve(begun[0].response.id)
    assert (stored.status, stored.output_text) == ("completed", "Done.")
    output = [item for item in stored.output if item.type == "shell_call_output"]
    assert output[-1].output[0].stdout == "first\nsecond\nthird\nfourth\n", "each has run once"
    for server in (first, second):
        later = server.client.responses.create(input="chat", previous_response_id=stored.id)
        assert later.output_text == "Hello there."


@pytest.mark.bubblewrap
def test_embedded_sandboxes_belong_to_one_data_folder(start: Start, tmp_path: Path) -> None:
    """A server elsewhere refuses them in words, and serves everything else."""
    first, elsewhere = start(), start(AGENT_KERNEL_DATA_DIR=str(tmp_path / "elsewhere"))
    made = first.client.responses.create(input="note", tools=[SHELL])
    assert elsewhere.client.responses.retrieve(made.id).output_text == "Noted."
    with pytest.raises(openai.APIStatusError, match="belong to another machine or data folder"):
        elsewhere.client.responses.create(input="note", tools=[SHELL], previous_response_id=made.id)
    assert elsewhere.client.responses.create(input="chat").output_text == "Hello there."
    file = first.client.files.create(file=("a.txt", b"content"), purpose="user_data")
    assert elsewhere.client.files.content(file.id).read() == b"content"
    again = first.client.responses.create(input="note", tools=[SHELL], previous_response_id=made.id)
    assert again.output_text == "Noted.", "the container is as it was"
