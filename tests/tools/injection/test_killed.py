"""A server is killed after a turn has read text from outside: what the next one does still asks first."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.test_killed import Process
from tests.tools.web_search.served import served_web

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(400)]

SCRIPT = Path(__file__).parent / "killed.yaml"
TOOLS: Any = [
    {"type": "shell", "environment": {"type": "container_auto"}},
    {"type": "web_search", "search_context_size": "low"},
]


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.fixture
def serve(
    own_environment: dict[str, str], bubblewrap_backend: object, silent: int, tmp_path: Path
) -> Iterator[Any]:
    script = tmp_path / "killed.yaml"
    script.write_text(SCRIPT.read_text().replace("PORT", str(silent)))
    running: list[Process] = []

    with served_web() as web:

        def start(restart: str) -> Process:
            flags = ["--model", f"scripted/{script}", "--sandbox", "bubblewrap", "--server-lease", "60"]
            flags += ["--background-restart", restart, "--after-outside", "ask", "--web-timeout", "600"]
            flags += ["--web-search", "searxng", "--web-search-url", web.url]
            flags += ["--web-hosts", f"tcp://127.0.0.1:{silent}"]
            running.append(Process(own_environment, *flags))
            return running[-1]

        yield start
        for container in running[-1].client.containers.list() if running else ():
            running[-1].client.containers.delete(container.id)
        for process in running:
            if process._process.poll() is None:
                process.end(signal.SIGTERM)


def killed_while_it_reads(process: Process, port: int, **request: Any) -> str:
    """Begin a turn, kill its server while it opens the second page, and return the turn's id."""
    response_id, searches = "", 0
    said = f"read both pages: http://127.0.0.1:{port}/"  # else opening it would ask
    asked: Any = {"input": said, "tools": TOOLS, "stream": True, **request}
    for event in process.client.responses.create(**asked):
        if event.type == "response.created":
            response_id = event.response.id
        elif event.type == "response.web_search_call.searching":
            searches += 1
            if searches == 2:
                process.end(signal.SIGKILL)
                return response_id
    raise AssertionError(f"the turn ended: {event}")


def asked_for(response: Any) -> list[str]:
    """The types of the items; a question must say that it asks because of text from outside."""
    items = [each.to_dict() for each in response.output]
    questions = [each for each in items if each["type"] == "mcp_approval_request"]
    assert all(each["agent_kernel"]["outside"] for each in questions)
    return [each["type"] for each in items]


def test_a_turn_that_is_resumed_asks(serve: Any) -> None:
    """A command runs on while no server lives, and beside it the page was read before that."""
    process, response_id, container_id, done = serve("resume"), "", "", set()
    asked: Any = {"input": "read while it runs", "tools": TOOLS, "stream": True, "background": True}
    for event in process.client.responses.create(**asked):
        if event.type == "response.created":
            response_id = event.response.id
        elif event.type == "response.output_item.done" and event.item.type == "shell_call":
            container_id = event.item.to_dict()["environment"]["container_id"]
        elif event.type == "response.output_item.added" and event.item.type == "shell_call_output":
            done.add("runs")
        elif event.type == "response.output_item.done" and event.item.type == "web_search_call":
            done.add("read")
        if done == {"runs", "read"}:
            break
    process.end(signal.SIGKILL)
    client = serve("resume").client
    client.containers.files.create(container_id, file=("go", b""))
    response = list(client.responses.retrieve(response_id, stream=True))[-1].response
    types = asked_for(response)
    assert types[-2:] == ["shell_call", "mcp_approval_request"]
    assert types.count("shell_call_output") == types.count("web_search_call") == 1


@pytest.mark.parametrize("background", [True, False])
def test_a_turn_that_continues_the_chain_asks(serve: Any, silent: int, background: bool) -> None:
    response_id = killed_while_it_reads(serve("end"), silent, background=background)
    client = serve("end").client
    stored = client.responses.retrieve(response_id)
    assert stored.status == "incomplete"
    assert asked_for(stored) == ["web_search_call", "web_search_call"]
    later = client.responses.create(input="go on", tools=TOOLS, previous_response_id=response_id)
    assert asked_for(later) == ["shell_call", "mcp_approval_request"]
