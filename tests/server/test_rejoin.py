"""A server is killed while a command of a background turn runs. The next server finishes the command."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from agent_kernel.cli.compose import local_runtime
from agent_kernel.config import load
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.background.background import Background
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.turns.interrupt import Interrupt
from agent_kernel.runtime.turns.turn import Turn
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.tools.code_interpreter.session import CodeCell, run_cell
from tests.conftest import configured_docker
from tests.server.test_killed import Process

SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}
SCRIPT = Path(__file__).parent / "rejoin.yaml"


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    ]
)
def serve(request: pytest.FixtureRequest, own_environment: dict[str, str]) -> Iterator[Callable[[], Process]]:
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    else:
        request.getfixturevalue("bubblewrap_backend")
    running: list[Process] = []

    def start() -> Process:
        running.append(Process(own_environment, "--sandbox", request.param, "--model", f"scripted/{SCRIPT}"))
        return running[-1]

    yield start
    last = running[-1]
    for container in last.client.containers.list():
        last.client.containers.delete(container.id)
    for process in running:
        if process._process.poll() is None:
            process.end(signal.SIGTERM)


def held(client: OpenAI) -> tuple[str, str]:
    """Begin a turn and read until its second command waits; return its id and its container's."""
    response_id = container_id = streamed = ""
    for event in client.responses.create(input="hold", tools=[SHELL], stream=True, background=True):
        if event.type == "response.created":
            response_id = event.response.id
        elif event.type == "response.output_item.done" and event.item.type == "shell_call":
            container_id = to_json(event.item)["environment"]["container_id"]
        elif event.type == "response.shell_call_output_content.delta":
            streamed += to_json(event)["delta"].get("stderr", "")
            if "err" in streamed:
                return response_id, container_id
    raise AssertionError("the turn ended")


def held_in_python(client: OpenAI) -> tuple[str, str]:
    """Begin a turn and read until its cell waits; return its id and its container's."""
    container_id = client.containers.create(name="cell").id
    tools: Any = [{"type": "code_interpreter", "container": container_id}]
    response_id = ""
    for event in client.responses.create(input="cell", tools=tools, stream=True, background=True):
        if event.type == "response.created":
            response_id = event.response.id
        elif event.type == "response.code_interpreter_call.interpreting":
            break
    while not any(file.path.endswith("begun") for file in client.containers.files.list(container_id)):
        assert client.responses.retrieve(response_id).status == "in_progress"
    return response_id, container_id


def release(client: OpenAI, container_id: str) -> None:
    client.containers.files.create(container_id, file=("go", b""))


def streamed(events: list[Any], command_index: int) -> tuple[str, ...]:
    deltas = [
        to_json(event)["delta"]
        for event in events
        if event.type == "response.shell_call_output_content.delta"
        and event.output_index == 1
        and event.command_index == command_index
    ]
    return tuple("".join(delta.get(name, "") for delta in deltas) for name in ("stdout", "stderr"))


def outcomes(item: Any) -> list[tuple[str, str, int]]:
    return [(each.stdout, each.stderr, each.outcome.exit_code) for each in item.output]


@pytest.mark.parametrize("kills", [1, 2])
@pytest.mark.on_docker
def test_killed_server_leaves_command_to_the_next(serve: Callable[[], Process], kills: int) -> None:
    server = serve()
    response_id, container_id = held(server.client)
    for _ in range(kills):
        server.end(signal.SIGKILL)
        server = serve()
        assert server.client.responses.retrieve(response_id).status == "in_progress"
    release(server.client, container_id)
    events = list(server.client.responses.retrieve(response_id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    response: Any = events[-1].response
    call, output, again, last, said = response.output
    assert (call.type, again.type, said.type) == ("shell_call", "shell_call", "message")
    assert outcomes(output) == [
        ("one\n", "", 0),
        ("two\nthree\n", "err\n", 3),
        ("first\nsecond\nthird\n", "", 0),
    ]
    assert outcomes(last) == [("first\nsecond\nthird\nfourth\n", "", 0)], "each command ran once"
    assert streamed(events, 1) == ("two\nthree\n", "err\n"), "nothing was streamed twice"
    assert response.output_text == "Done."


def test_lost_container_ends_the_turn(
    serve: Callable[[], Process], request: pytest.FixtureRequest, own_environment: dict[str, str]
) -> None:
    """Its server is dead by then, so only the next one can learn that the container is lost."""
    server = serve()
    response_id, container_id = held(server.client)
    server.end(signal.SIGKILL)
    asyncio.run(remove(sandboxes(request, own_environment), container_id))
    server = serve()
    response: Any = server.client.responses.retrieve(response_id)
    assert response.status == "incomplete"
    call, output = response.output
    assert call.call_id == output.call_id
    ended, cut_off, not_begun = outcomes(output)
    assert ended == ("one\n", "", 0)
    assert (cut_off[0], cut_off[2]) == ("two\n", 130)
    assert (not_begun[0], not_begun[2]) == ("", 130)
    again: Any = server.client.responses.create(
        model="agent_kernel/shell", input="ls", tools=[SHELL], previous_response_id=response_id
    )
    assert outcomes(again.output[-1])[0][::2] == ("", 0), "a new container, in which nothing ran again"


def sandboxes(request: pytest.FixtureRequest, environment: dict[str, str]) -> Backend:
    """Return the backend of this case's servers, to act behind their backs."""
    if request.node.callspec.params["serve"] == "docker":
        return configured_docker()
    return BubblewrapBackend(Path(environment["AGENT_KERNEL_DATA_DIR"]), request.getfixturevalue("toolbox"))


async def remove(backend: Backend, container_id: str) -> None:
    await backend.delete(await backend.get(container_id))
    await backend.aclose()


def test_rejoined_command_is_cancelled(serve: Callable[[], Process]) -> None:
    server = serve()
    response_id, container_id = held(server.client)
    server.end(signal.SIGKILL)
    server = serve()
    assert server.client.responses.retrieve(response_id).status == "in_progress"
    assert server.client.responses.cancel(response_id).status == "cancelled"
    tools: Any = [
        {"type": "shell", "environment": {"type": "container_reference", "container_id": container_id}}
    ]
    ran = server.client.responses.create(
        model="agent_kernel/shell", input="cat ran; pgrep -c sleep", tools=tools
    )
    assert outcomes(ran.output[-1]) == [("first\nsecond\n0\n", "", 1)]


def resuming(request: pytest.FixtureRequest, environment: dict[str, str]) -> LocalRuntime:
    """Return a runtime in this process, on the store of this case's servers."""
    sandbox = request.node.callspec.params["serve"]
    more = {"AGENT_KERNEL_SANDBOX": sandbox, "AGENT_KERNEL_MODEL": f"scripted/{SCRIPT}"}
    return local_runtime(load({}, {**environment, **more}, []), lease=600, restart="resume")


@pytest.mark.parametrize("hold", [held, held_in_python])
async def test_command_is_cancelled_before_it_is_rejoined(
    serve: Callable[[], Process],
    request: pytest.FixtureRequest,
    own_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    hold: Callable[[OpenAI], tuple[str, str]],
) -> None:
    server = serve()
    response_id, container_id = hold(server.client)
    server.end(signal.SIGKILL)
    drive_on = Background._drive_on

    def cancelled_at_once(self: Background, run: Turn, interrupt: Interrupt, *rest: Any) -> None:
        drive_on(self, run, interrupt, *rest)
        interrupt.stop("cancelled")

    monkeypatch.setattr(Background, "_drive_on", cancelled_at_once)
    runtime = resuming(request, own_environment)
    try:
        await runtime.start()
        *_, last = [event async for event in runtime.follow(response_id)]
        assert to_json(last)["response"]["status"] == "cancelled"
        async with runtime.containers.use(container_id) as channel:
            assert await channel.pause(idle=True), "the shell is free"
            if hold is held_in_python:
                after = await run_cell(channel, CodeCell("after", "kept", 10, 1000))
                assert (after.status, after.logs) == ("ok", "1\n"), "the session is free, and the same"
    finally:
        await runtime.aclose()
        serve()


async def test_command_is_cancelled_while_it_is_rejoined(
    serve: Callable[[], Process], request: pytest.FixtureRequest, own_environment: dict[str, str]
) -> None:
    """Of two requests for a dead server's turn, the second waits while the first recovers it."""
    runtime = resuming(request, own_environment)
    try:
        await runtime.start()
        server = serve()
        response_id, container_id = held(server.client)
        server.end(signal.SIGKILL)
        _, cancelled = await asyncio.gather(runtime.retrieve(response_id), runtime.cancel(response_id))
        assert cancelled.status == "cancelled"
        async with runtime.containers.use(container_id) as channel:
            assert await channel.pause(idle=True), "the shell is free"
    finally:
        await runtime.aclose()
        serve()
