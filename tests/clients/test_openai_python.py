"""openai-python: what its users write, unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import FunctionShellToolParam, FunctionToolParam, Response, ToolParam

from tests.clients.conftest import KEY
from tests.clients.tap import Tap

SHELL: FunctionShellToolParam = {"type": "shell", "environment": {"type": "container_auto"}}
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
pytestmark = pytest.mark.parametrize(
    "server",
    [
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
        pytest.param("docker", marks=pytest.mark.docker),
    ],
    indirect=True,
)


@pytest.fixture
def client(tap: Tap) -> Iterator[OpenAI]:
    with OpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


def printed(response: Response) -> list[str]:
    """What each command printed."""
    return [
        each.stdout for item in response.output if item.type == "shell_call_output" for each in item.output
    ]


def container_of(response: Response) -> str:
    tool: Any = response.tools[0]
    return str(tool.environment.container_id)


@pytest.mark.on_docker
def test_two_turns(client: OpenAI) -> None:
    first = client.responses.create(input="Please collect the measurements", tools=[SHELL])
    assert printed(first) == ["", "", "6\n"]
    assert first.output_text == "There are 6 numbers."
    second = client.responses.create(input="Now add them up", tools=[SHELL], previous_response_id=first.id)
    assert printed(second) == ["/mnt/data/run\n", "sum: 108 mm\n", "42\n", "2\n"]
    assert second.output_text == "They add up to 108 mm."
    assert container_of(second) == container_of(first)
    assert second.usage is not None


def test_streams(client: OpenAI) -> None:
    first = client.responses.create(input="collect the measurements", tools=[SHELL], stream=True)
    *_, last = first
    assert last.type == "response.completed"
    with client.responses.stream(
        input="add them up", tools=[SHELL], previous_response_id=last.response.id, model=""
    ) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == "They add up to 108 mm."


async def test_the_async_client(tap: Tap) -> None:
    async with AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        first = await client.responses.create(input="collect the measurements", tools=[SHELL])
        async with client.responses.stream(
            input="add them up", tools=[SHELL], previous_response_id=first.id, model=""
        ) as stream:
            types = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert final.output_text == "They add up to 108 mm."
        assert types.count("response.shell_call_output_content.done") == 4
        async for _ in await client.responses.create(input="say hello", stream=True):
            pass


@pytest.mark.on_docker
def test_containers_and_files(client: OpenAI) -> None:
    container = client.containers.create(
        name="lab", expires_after={"anchor": "last_active_at", "minutes": 20}
    )
    client.containers.files.create(container.id, file=("numbers.csv", b"a,b\n1,2\n"))
    shell: ToolParam = {
        "type": "shell",
        "environment": {"type": "container_reference", "container_id": container.id},
    }
    client.responses.create(input="collect the measurements", tools=[shell])
    files = {file.path: file for file in client.containers.files.list(container.id)}
    assert {path: file.source for path, file in files.items()} == {
        "/mnt/data/numbers.csv": "user",
        "/mnt/data/run/numbers.txt": "assistant",
    }
    numbers = files["/mnt/data/run/numbers.txt"]
    content = client.containers.files.content.retrieve(numbers.id, container_id=container.id)
    assert content.read() == b"4\n8\n15\n16\n23\n42\n"
    client.containers.files.delete(numbers.id, container_id=container.id)
    client.containers.delete(container.id)
    with pytest.raises(openai.NotFoundError):
        client.containers.retrieve(container.id)


def test_a_file_that_the_answer_names_is_cited(client: OpenAI) -> None:
    with client.responses.stream(input="write a report", tools=[SHELL], model="") as stream:
        added = [event for event in stream if event.type == "response.output_text.annotation.added"]
        final = stream.get_final_response()
    (message,) = (item for item in final.output if item.type == "message")
    part = message.content[0]
    assert part.type == "output_text"
    (cited,) = part.annotations
    assert [event.annotation.to_dict() for event in added if event.annotation] == [cited.to_dict()]
    assert cited.type == "container_file_citation"
    assert (cited.filename, cited.container_id) == ("report.csv", container_of(final))
    assert part.text[cited.start_index : cited.end_index] == "sandbox:/mnt/data/out/report.csv"
    content = client.containers.files.content.retrieve(cited.file_id, container_id=cited.container_id)
    assert content.read() == b"1,2\n"
    stored: Any = client.responses.retrieve(final.id).output[-1]
    assert stored.content[0].annotations == [cited]
    again = client.responses.create(input="say hello", previous_response_id=final.id)
    assert again.output_text == "Hello there."


@pytest.mark.parametrize("streamed", [False, True])
def test_a_function_among_the_commands(client: OpenAI, streamed: bool) -> None:
    tools: list[ToolParam] = [SHELL, WEATHER]
    first = _create(client, streamed, input="compare with the weather", tools=tools)
    assert printed(first) == ["21\n"]
    call = first.output[-1]
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", '{"city": "Oslo"}')
    answer = {"type": "function_call_output", "call_id": call.call_id, "output": "minus 4 degrees"}
    second = _create(client, streamed, input=[answer], tools=tools, previous_response_id=first.id)
    assert printed(second) == ["21\n", "", "done\n"]
    assert second.output_text == "Inside 21, outside 4."


@pytest.mark.parametrize("streamed", [False, True])
def test_a_function_beside_the_commands(client: OpenAI, streamed: bool) -> None:
    tools: list[ToolParam] = [WEATHER, SHELL]
    first = _create(client, streamed, input="both at once", tools=tools)
    assert printed(first) == ["one\n", "two\n"]
    (call,) = (item for item in first.output if item.type == "function_call")
    answer = {"type": "function_call_output", "call_id": call.call_id, "output": "30 degrees"}
    second = _create(client, streamed, input=[answer], tools=tools, previous_response_id=first.id)
    assert printed(second) == ["three\n"]
    assert second.output_text == "Outside 30."


def _create(client: OpenAI, streamed: bool, **request: Any) -> Response:
    if not streamed:
        response: Response = client.responses.create(**request)
        return response
    with client.responses.stream(model="", **request) as stream:
        return stream.get_final_response()


def test_a_turn_that_fails(client: OpenAI) -> None:
    failed = client.responses.create(input="fail now")
    assert failed.status == "failed"
    assert failed.error is not None
    assert "nobody printed" in failed.error.message
    with pytest.raises(openai.APIError, match="nobody printed"):
        list(client.responses.create(input="fail now", stream=True))
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(input="say hello", previous_response_id="resp_none")
    assert caught.value.code == "previous_response_not_found"


def test_stored_responses(client: OpenAI) -> None:
    made = client.responses.create(input="say hello", metadata={"topic": "greeting"})
    again = client.responses.retrieve(made.id)
    assert again.to_dict() == made.to_dict()
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_in_the_background(client: OpenAI) -> None:
    queued = client.responses.create(input="collect the measurements", tools=[SHELL], background=True)
    assert queued.status in ("queued", "in_progress")
    *_, last = client.responses.retrieve(queued.id, stream=True)
    assert last.type == "response.completed"
    assert client.responses.retrieve(queued.id).output_text == "There are 6 numbers."
    stream = client.responses.create(
        input="add them up", tools=[SHELL], previous_response_id=queued.id, background=True, stream=True
    )
    first = next(stream)
    assert first.type == "response.created"
    for event in stream:
        if event.type == "response.shell_call_output_content.delta":
            break
    stream.close()  # the turn goes on
    rest = list(
        client.responses.retrieve(first.response.id, stream=True, starting_after=event.sequence_number)
    )
    assert rest[0].sequence_number == event.sequence_number + 1
    last = rest[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "They add up to 108 mm."


def test_cancelling_what_runs_in_the_background(client: OpenAI) -> None:
    running = client.responses.create(input="take your time", tools=[SHELL], background=True)
    for event in client.responses.retrieve(running.id, stream=True):
        if event.type == "response.shell_call_output_content.delta":
            break
    cancelled = client.responses.cancel(running.id)
    assert cancelled.status == "cancelled"
    assert client.responses.cancel(running.id).status == "cancelled"
    outputs = [item for item in cancelled.output if item.type == "shell_call_output"]
    assert outputs[0].output[0].stdout == "begun\n"
    after = client.responses.create(
        input="collect the measurements", tools=[SHELL], previous_response_id=running.id
    )
    assert after.output_text == "There are 6 numbers."


def test_uploaded_files_in_a_container(client: OpenAI) -> None:
    file = client.files.create(file=("table.csv", b"a,b\n1,2\n3,4\n"), purpose="user_data")
    assert file.id in [each.id for each in client.files.list()]
    shell: ToolParam = {"type": "shell", "environment": {"type": "container_auto", "file_ids": [file.id]}}
    response = client.responses.create(input="describe the upload", tools=[shell])
    assert printed(response) == ["table.csv\n", "3\n", "a,b\n"]
    assert client.files.content(file.id).read() == b"a,b\n1,2\n3,4\n"
    client.files.delete(file.id)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_conversation(client: OpenAI) -> None:
    conversation = client.conversations.create(metadata={"topic": "measurements"})
    for prompt, answer in (
        ("collect the measurements", "There are 6 numbers."),
        ("add them up", "They add up to 108 mm."),
    ):
        response = client.responses.create(input=prompt, tools=[SHELL], conversation=conversation.id)
        assert response.output_text == answer
    kinds = [item.type for item in client.conversations.items.list(conversation.id, order="asc", limit=100)]
    assert kinds.count("shell_call") == kinds.count("shell_call_output") == 5
    assert kinds.count("message") == 4
    client.conversations.delete(conversation.id)


async def test_a_web_socket(tap: Tap) -> None:
    async with (
        AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0) as client,
        client.responses.connect() as connection,
    ):
        previous: str | None = None
        said: list[str] = []
        for prompt in ("collect the measurements", "add them up"):
            await connection.response.create(
                model="", input=prompt, tools=[SHELL], store=False, previous_response_id=previous
            )
            async for event in connection:
                if event.type == "response.completed":
                    previous = event.response.id
                    said.append(event.response.output_text)
                    break
    assert said == ["There are 6 numbers.", "They add up to 108 mm."]


def test_variables_last_from_turn_to_turn(client: OpenAI) -> None:
    """In bubblewrap and Docker, streamed through the package's strict accumulator."""
    python: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
    request: Any = {"tools": [python], "include": ["code_interpreter_call.outputs"]}
    first = client.responses.create(input="keep the numbers", **request)
    with client.responses.stream(
        input="sum the numbers", model="", previous_response_id=first.id, **request
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.code_interpreter_call.completed") == 2
    assert final.output_text == "They add up to 208."
    calls = [item for item in final.output if item.type == "code_interpreter_call"]
    assert [call.code for call in calls] == ["numbers.append(100)", "sum(numbers)"]
    assert [each.logs for each in calls[1].outputs or [] if each.type == "logs"] == ["208\n"]


def test_two_turns_of_patches_in_the_container(client: OpenAI) -> None:
    """In bubblewrap and Docker, streamed through the package's strict accumulator."""
    patch: Any = {"type": "apply_patch", "agent_kernel": {"environment": {"type": "container_auto"}}}
    done: list[Any] = []
    previous: Any = openai.omit
    for said in ("fix the report", "clean up the report"):
        with client.responses.stream(
            input=said, model="", tools=[patch], previous_response_id=previous
        ) as stream:
            for _ in stream:
                pass
            final = stream.get_final_response()
        previous = final.id
        done += [item for item in final.output if item.type == "apply_patch_call_output"]
    assert [each.status for each in done] == ["completed", "completed", "failed", "completed"]
    assert done[1].output == "Updated report.txt (+1 -1)."
    assert final.output_text == "The report is gone."


def test_two_turns_of_web_searches(client: OpenAI) -> None:
    """Streamed through the package's strict accumulator, with citations."""
    search: Any = {"type": "web_search"}
    include: Any = ["web_search_call.action.sources"]
    previous: Any = openai.omit
    for said, begins in (
        ("look up the tides", "They rise 14 metres"),
        ("look up the moon", "It is Far away"),
    ):
        with client.responses.stream(
            input=said, model="", tools=[search], include=include, previous_response_id=previous
        ) as stream:
            for _ in stream:
                pass
            final = stream.get_final_response()
        previous = final.id
        searched, answer = final.output
        assert searched.type == "web_search_call"
        assert searched.action.type == "search"
        assert len(searched.action.sources or ()) == 2
        assert answer.type == "message"
        (cited,) = answer.content[0].annotations  # type: ignore[union-attr]
        assert cited.type == "url_citation"
        assert final.output_text.startswith(begins)
