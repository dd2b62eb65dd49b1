"""Servers on other stores than the embedded one, as users start them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.server.test_killed import FLAGS, SHELL, Process, until_a_command_runs
from tests.store.postgres import PASSWORD, QUOTED, Postgres

Serve = Callable[[str], Process]


@pytest.fixture
def serve(own_environment: dict[str, str], bubblewrap_backend: object) -> Iterator[Serve]:
    running: list[Process] = []

    def serve(store: str, **more: str) -> Process:
        running.append(Process({**own_environment, "AGENT_KERNEL_STORE": store, **more}, *FLAGS))
        return running[-1]

    yield serve
    for process in running:
        if process._process.poll() is None:
            process.end(signal.SIGTERM)


def a_turn_and_the_next(client: Any) -> str:
    first = client.responses.create(input="make a file", tools=[SHELL])
    assert first.output_text == "The file is there."
    second = client.responses.create(input="look again", tools=[SHELL], previous_response_id=first.id)
    assert second.output_text == "It says hello."
    assert [each.status for each in client.containers.list()] == ["running"]
    file = client.files.create(file=("a.txt", b"content"), purpose="user_data")
    assert client.files.content(file.id).read() == b"content"
    return str(second.id)


@pytest.mark.bubblewrap
def test_a_store_of_another_package(serve: Any, toy_wheel: Path, own_environment: dict[str, str]) -> None:
    """The package is installed, the setting names it: nothing else knows of it."""
    path = os.pathsep.join([str(toy_wheel), own_environment["PYTHONPATH"]])
    client = serve("toy:", PYTHONPATH=path).client
    response_id = a_turn_and_the_next(client)
    assert client.responses.retrieve(response_id).status == "completed"
    assert not list(Path(own_environment["AGENT_KERNEL_DATA_DIR"]).glob("store.sqlite*"))


@pytest.mark.bubblewrap
def test_postgres_outlives_a_killed_server(
    serve: Any, postgres: Postgres, own_environment: dict[str, str]
) -> None:
    url = postgres.new()
    first = serve(url)
    response_id = a_turn_and_the_next(first.client)
    library = first.client.vector_stores.create(name="papers").id
    paper = ("a.md", b"The zeppelin is moored at dawn.")
    first.client.vector_stores.files.upload_and_poll(vector_store_id=library, file=paper, poll_interval_ms=50)
    with ExitStack() as streams:
        behind = until_a_command_runs(first.client, streams, background=True)
        first.end(signal.SIGKILL)
    second, third = serve(url), serve(url)
    stored = second.client.responses.retrieve(behind)
    assert (stored.status, stored.incomplete_details.reason) == ("incomplete", "agent_kernel.interrupted")
    again = second.client.responses.create(input="chat", previous_response_id=response_id)
    assert again.output_text == "Hello there."
    (found,) = third.client.vector_stores.search(library, query="mooring a zeppelin").data
    assert (found.filename, found.content[0].text) == ("a.md", paper[1].decode())
    begun = second.client.responses.create(input="count slowly", tools=[SHELL], background=True)
    followed = list(third.client.responses.retrieve(begun.id, stream=True))
    assert followed[-1].type == "response.completed", "one server follows a turn of the other"
    data = Path(own_environment["AGENT_KERNEL_DATA_DIR"])
    assert not list(data.glob("store.sqlite*"))
    for path in data.rglob("*"):
        if path.is_file() and "toolbox" not in path.parts:
            content = path.read_bytes()
            assert PASSWORD.encode() not in content
            assert QUOTED.encode() not in content
