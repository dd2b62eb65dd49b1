"""The official SDK against a real server: what its users write must work as written."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import FunctionShellToolParam, Response

from agent_kernel.sandboxes.base import Backend

KEY = "sk-test"
SHELL: FunctionShellToolParam = {"type": "shell", "environment": {"type": "container_auto"}}


def outputs(response: Response) -> list[Any]:
    return [item for item in response.output if item.type == "shell_call_output"]


def container_of(response: Response) -> str:
    tool: Any = response.tools[0]
    return str(tool.environment.container_id)


def test_create_and_continue(client: OpenAI) -> None:
    first = client.responses.create(input="Please make a file", tools=[SHELL])
    assert first.status == "completed"
    assert [item.type for item in first.output] == ["reasoning", "shell_call", "shell_call_output", "message"]
    assert first.output_text == "The file is there."
    assert [each.stderr for each in outputs(first)[0].output] == ["", "on stderr\n"]
    second = client.responses.create(input="look again", tools=[SHELL], previous_response_id=first.id)
    assert outputs(second)[0].output[0].stdout == "hello\n1\n/tmp\n"
    assert second.output_text == "It says hello."
    assert container_of(second) == container_of(first)
    assert client.responses.retrieve(second.id).output_text == "It says hello."


def test_container_reference(client: OpenAI) -> None:
    container = client.containers.create(name="mine")
    shell: FunctionShellToolParam = {
        "type": "shell",
        "environment": {"type": "container_reference", "container_id": container.id},
    }
    client.responses.create(input="make a file", tools=[shell])
    (file,) = client.containers.files.list(container.id).data
    assert (file.path, file.bytes, file.source) == ("/mnt/data/greeting.txt", 6, "assistant")
    assert client.containers.files.content.retrieve(file.id, container_id=container.id).read() == b"hello\n"


def test_the_strict_accumulator(client: OpenAI) -> None:
    with client.responses.stream(input="make a file", tools=[SHELL], model="") as stream:
        types = [event.type for event in stream]
        final = stream.get_final_response()
    assert types[0] == "response.created"
    assert "response.shell_call_output_content.delta" in types
    assert types[-1] == "response.completed"
    assert final.output_text == "The file is there."


async def test_the_async_client(server: Any) -> None:
    async with AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
        stream = await client.responses.create(input="make a file", tools=[SHELL], stream=True)
        types = [event.type async for event in stream]
        assert types[-1] == "response.completed"
        async with client.responses.stream(input="chat", model="") as streamed:
            final = await streamed.get_final_response()
        assert final.output_text == "Hello there."


def test_containers_and_files(client: OpenAI) -> None:
    container = client.containers.create(name="c", expires_after={"anchor": "last_active_at", "minutes": 5})
    assert container.status == "running"
    assert container.id in [each.id for each in client.containers.list()]
    assert client.containers.retrieve(container.id).name == "c"
    data = b"a,b\n" * 20_000
    file = client.containers.files.create(container.id, file=("table ü.csv", data))
    assert (file.path, file.bytes, file.source) == ("/mnt/data/table ü.csv", len(data), "user")
    assert [each.id for each in client.containers.files.list(container.id)] == [file.id]
    assert client.containers.files.retrieve(file.id, container_id=container.id).path == file.path
    assert client.containers.files.content.retrieve(file.id, container_id=container.id).read() == data
    client.containers.files.delete(file.id, container_id=container.id)
    with pytest.raises(openai.NotFoundError) as caught:
        client.containers.files.retrieve(file.id, container_id=container.id)
    assert file.id in caught.value.message
    assert container.id in caught.value.message
    client.containers.delete(container.id)
    with pytest.raises(openai.NotFoundError, match=container.id):
        client.containers.retrieve(container.id)


def test_pages(client: OpenAI) -> None:
    made = [client.containers.create(name=f"{n}").id for n in range(3)]
    assert [each.id for each in client.containers.list(limit=2, order="asc")] == made


def test_a_file_id_that_does_not_exist_is_refused_in_words(client: OpenAI) -> None:
    container = client.containers.create(name="c")
    with pytest.raises(openai.NotFoundError, match="file_1"):
        client.containers.files.create(
            container.id, extra_body={"file_id": "file_1"}, extra_headers={"Content-Type": "application/json"}
        )


def test_an_upload_over_the_limit(client: OpenAI) -> None:
    container = client.containers.create(name="c")
    with pytest.raises(openai.APIStatusError) as caught:
        client.containers.files.create(container.id, file=("big", b"x" * (8 << 20)))
    assert caught.value.status_code == 413
    assert "1048576" in caught.value.message
    assert client.containers.files.list(container.id).data == []


def test_error_objects(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(input="chat", previous_response_id="resp_none")
    assert caught.value.body == {
        "message": "Previous response with id 'resp_none' not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }
    with pytest.raises(openai.NotFoundError, match="resp_none"):
        client.responses.retrieve("resp_none")
    with pytest.raises(openai.BadRequestError):  # the same for a stream that has not begun
        client.responses.create(input="chat", previous_response_id="resp_none", stream=True)


def test_a_failing_turn(client: OpenAI) -> None:
    failed = client.responses.create(input="out of script")
    assert failed.status == "failed"
    assert failed.error is not None
    assert "make a file" in failed.error.message
    with pytest.raises(openai.APIError, match="make a file"):
        list(client.responses.create(input="out of script", stream=True))


def test_wrong_keys(server: Any) -> None:
    for key in ("wrong", "sk-tes", "sk-test2", "ключ"):
        response = httpx2.get(f"{server.url}/models", headers=[(b"Authorization", f"Bearer {key}".encode())])
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"
    assert httpx2.get(f"{server.url}/models").status_code == 401
    assert httpx2.get(f"{server.url}/models", headers={"Authorization": f"bearer {KEY}"}).status_code == 200
    assert httpx2.get(server.url.removesuffix("/v1") + "/healthz").json() == {"status": "ok"}
    with server.client("wrong") as client, pytest.raises(openai.AuthenticationError):
        client.responses.create(input="chat")


def test_models(client: OpenAI) -> None:
    assert "agent_kernel/shell" in [model.id for model in client.models.list()]


async def test_a_killed_and_an_expired_container(server: Any, backend: Backend) -> None:
    client = server.client()
    killed, expired = [await asyncio.to_thread(client.containers.create, name="c") for _ in range(2)]
    await backend.delete(await backend.get(killed.id))
    shell = {"type": "shell", "environment": {"type": "container_reference"}}

    def use(container_id: str) -> openai.APIStatusError:
        tool: Any = {**shell, "environment": {**shell["environment"], "container_id": container_id}}  # type: ignore[dict-item]
        with pytest.raises(openai.APIStatusError) as caught:
            client.responses.create(input="make a file", tools=[tool])
        return caught.value

    error = await asyncio.to_thread(use, killed.id)
    assert (error.status_code, error.code) == (410, "sandbox_gone")
    assert "ended from outside" in error.message

    await server.runtime._rows.end_container(expired.id, "expired")
    error = await asyncio.to_thread(use, expired.id)
    assert error.status_code == 400
    assert "Container is expired." in error.message
    retrieved = await asyncio.to_thread(client.containers.retrieve, expired.id)
    assert retrieved.status == "expired"
    client.close()


def test_a_client_that_leaves_ends_its_turn(
    client: OpenAI, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    container = client.containers.create(name="c")
    tool: Any = {
        "type": "shell",
        "environment": {"type": "container_reference", "container_id": container.id},
    }
    response_id = ""
    with client.responses.create(input="wait", tools=[tool], stream=True) as stream:
        for event in stream:
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.output_item.added" and event.item.type == "shell_call_output":
                break
    _wait_until_begun(client, container.id)
    stored = _stored(client, response_id)
    assert stored.status == "incomplete"
    assert outputs(stored)[0].status == "incomplete"
    tool["environment"]["container_id"] = container.id
    ps = client.responses.create(
        model="agent_kernel/shell", input="cat /proc/[0-9]*/cmdline | tr '\\0' ' '", tools=[tool]
    )
    assert "sleep 600" not in outputs(ps)[0].output[0].stdout
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_client_that_leaves_without_streaming_ends_its_turn(client: OpenAI, server: Any) -> None:
    container = client.containers.create(name="c")
    tool: Any = {
        "type": "shell",
        "environment": {"type": "container_reference", "container_id": container.id},
    }
    with pytest.raises(openai.APITimeoutError):
        client.responses.create(input="wait", tools=[tool], timeout=1.0)
    ps = client.responses.create(
        model="agent_kernel/shell", input="cat /proc/[0-9]*/cmdline | tr '\\0' ' '", tools=[tool]
    )
    assert "sleep 600" not in outputs(ps)[0].output[0].stdout


def _wait_until_begun(client: OpenAI, container_id: str) -> None:
    assert client.containers.retrieve(container_id).status == "running"


def _stored(client: OpenAI, response_id: str) -> Response:
    """The server notices a moment later."""
    deadline = time.monotonic() + 60
    while True:
        stored = client.responses.retrieve(response_id)
        if stored.status != "in_progress":
            return stored
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_event_is_one_chunk_with_its_name(server: Any) -> None:
    with httpx2.stream(
        "POST",
        f"{server.url}/responses",
        headers={"Authorization": f"Bearer {KEY}"},
        json={"input": "chat", "stream": True},
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in response.headers
        text = response.read().decode()
    events = text.removesuffix("\n\n").split("\n\n")
    for number, event in enumerate(events):
        name, data = event.split("\n", 1)
        body = json.loads(data.removeprefix("data: "))
        assert name == f"event: {body['type']}"
        assert body["sequence_number"] == number
