"""Approvals over HTTP, as a client that knows those of MCP uses them."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_output_item import McpApprovalRequest
from pydantic import TypeAdapter

from tests import forked
from tests.conftest import CHECKOUT
from tests.server.test_socket import connected, heard, say

SCRIPT = CHECKOUT / "tests" / "runtime" / "approvals" / "approval.yaml"
SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}
ASK: Any = {"agent_kernel": {"approval": "ask"}}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
COUNT = "cat made.txt 2>/dev/null | wc -l"

pytestmark = pytest.mark.bubblewrap


class Process:
    """`agent-kernel serve`, asking before every command."""

    def __init__(self, environment: dict[str, str]) -> None:
        flags = ("--sandbox", "bubblewrap", "--model", f"scripted/{SCRIPT}", "--approval", "ask")
        self.process, self.url = forked.serve(*flags, environment=environment)
        self.client: Any = OpenAI(base_url=self.url, api_key="x", max_retries=0)

    def end(self, signal_: int = signal.SIGTERM) -> None:
        self.process.send_signal(signal_)
        self.process.wait()
        self.client.close()


@pytest.fixture
def serve(own_environment: dict[str, str], bubblewrap_backend: object) -> Iterator[Any]:
    running: list[Process] = []

    def start() -> Process:
        running.append(Process(own_environment))
        return running[-1]

    yield start
    for process in running:
        for container in process.client.containers.list() if process.process.poll() is None else ():
            process.client.containers.delete(container.id)
        process.end()


def asked(response: Any) -> McpApprovalRequest:
    request = response.output[-1]
    assert isinstance(request, McpApprovalRequest)
    return request


def answer(request: McpApprovalRequest, approve: bool = True, **more: Any) -> Any:
    return {
        "type": "mcp_approval_response",
        "approval_request_id": request.id,
        "approve": approve,
        **more,
    }


def made(client: Any, previous: str) -> int:
    counted = client.responses.create(
        model="agent_kernel/shell", input=COUNT, tools=[SHELL], previous_response_id=previous
    )
    return int(counted.output[-1].output[0].stdout)


def lines_made(client: Any) -> int:
    """Count the lines of `made.txt` in all containers. Their shells may still be busy."""
    lines = 0
    for container in client.containers.list():
        for file in client.containers.files.list(container.id):
            if file.path.endswith("/made.txt"):
                content = client.containers.files.content.retrieve(file.id, container_id=container.id)
                lines += content.read().count(b"\n")
    return lines


def test_the_sdk_unchanged(serve: Any) -> None:
    client = serve().client
    with client.responses.stream(input="touch the file", model="", tools=[SHELL]) as stream:
        for event in stream:
            assert event.type
        first = stream.get_final_response()
    request = asked(first)
    assert (first.status, request.server_label, request.name) == ("completed", "agent_kernel", "shell")
    assert json.loads(request.arguments)["commands"] == list(first.output[-2].action.commands)
    assert asked(client.responses.retrieve(first.id)) == request

    events = list(
        client.responses.create(
            input=[answer(request)], previous_response_id=first.id, tools=[SHELL], stream=True
        )
    )
    for event in events:
        EVENT.validate_python(event.to_dict(mode="json", warnings=False))
    second = events[-1].response
    assert second.output_text == "It has 1 lines."
    (given,) = client.responses.input_items.list(second.id).data
    assert given.type == "mcp_approval_response"
    for again in (first.id, second.id):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(input=[answer(request)], previous_response_id=again, tools=[SHELL])
        assert caught.value.code == "approval_already_answered"
        assert caught.value.type == "invalid_request_error"
    assert made(client, second.id) == 1


def test_every_event_of_a_response_that_asks_is_one_of_the_sdk(serve: Any) -> None:
    client = serve().client
    for background in (False, True):
        stream = client.responses.create(
            input="two at once", tools=[SHELL], stream=True, background=background
        )
        for event in stream:
            EVENT.validate_python(event.to_dict(mode="json", warnings=False))
        assert event.type == "response.completed"
        assert asked(event.response).name == "shell"


def test_killed_after_the_approval(serve: Any) -> None:
    first = serve()
    waiting = first.client.responses.create(input="for a long time", tools=[SHELL])
    other = first.client.responses.create(input="touch the file", tools=[SHELL])
    running = ""
    for event in first.client.responses.create(
        input=[answer(asked(waiting))], previous_response_id=waiting.id, tools=[SHELL], stream=True
    ):
        if event.type == "response.created":
            running = event.response.id
        if event.type == "response.output_item.added":
            break
    first.end(signal.SIGKILL)

    client = serve().client
    assert client.responses.retrieve(running).status == "incomplete"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(
            input=[answer(asked(waiting))], previous_response_id=waiting.id, tools=[SHELL]
        )
    assert caught.value.code == "approval_already_answered"
    assert lines_made(client) <= 1
    later = client.responses.create(
        input=[answer(asked(other))], previous_response_id=other.id, tools=[SHELL]
    )
    assert later.output_text == "It has 1 lines."  # what had only been asked is still to be answered


def test_two_servers_at_once_run_it_once(serve: Any) -> None:
    servers = [serve(), serve()]
    first = servers[0].client.responses.create(input="touch the file", tools=[SHELL])
    together = threading.Barrier(len(servers))
    outcomes: list[Any] = []

    def approve(client: Any) -> None:
        together.wait()
        try:
            outcomes.append(
                client.responses.create(
                    input=[answer(asked(first))], previous_response_id=first.id, tools=[SHELL]
                )
            )
        except openai.BadRequestError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=approve, args=(server.client,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (lost,) = [each for each in outcomes if isinstance(each, openai.BadRequestError)]
    (taken,) = [each for each in outcomes if not isinstance(each, openai.BadRequestError)]
    assert lost.code == "approval_already_answered"
    assert made(servers[0].client, taken.id) == 1


async def test_over_a_socket_without_a_store(serve: Any) -> None:
    async with connected(serve()) as socket:
        await say(socket, input="touch the file", tools=[SHELL], store=False)
        first = (await heard(socket))[-1]["response"]
        request = first["output"][-1]
        given = {
            "type": "mcp_approval_response",
            "approval_request_id": request["id"],
            "approve": False,
            "reason": "no",
        }
        later = {"previous_response_id": first["id"], "tools": [SHELL], "store": False}
        await say(socket, input=[given], **later)
        second = (await heard(socket))[-1]
        # The script cannot count without the command: it says so, in a turn that was told of the denial.
        assert second["response"]["output"][0]["output"][0]["stderr"].endswith("asked: no")
        await say(socket, input=[given], **later)
        (error,) = await heard(socket)
        assert error["type"] == "error"
