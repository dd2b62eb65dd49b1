"""The WebSocket on /v1/responses, by the official SDK and raw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from openai import AsyncOpenAI
from openai.types.responses import ResponsesServerEvent
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect

KEY = "sk-test"
SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}
FINAL = ("response.completed", "response.incomplete", "response.failed", "error")
SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)


@asynccontextmanager
async def connected(server: Any, key: str = KEY) -> AsyncIterator[ClientConnection]:
    url = server.url.replace("http:", "ws:") + "/responses"
    async with connect(url, additional_headers={"Authorization": f"Bearer {key}"}) as socket:
        yield socket


async def say(socket: ClientConnection, kind: str = "response.create", **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def heard(socket: ClientConnection, *until: str) -> list[dict[str, Any]]:
    """All events up to the first of these types (or the end of a response)."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while not events or events[-1]["type"] not in (until or FINAL):
            events.append(json.loads(await socket.recv()))
    return events


def text(event: dict[str, Any]) -> str:
    (message,) = [item for item in event["response"]["output"] if item["type"] == "message"]
    return str(message["content"][0]["text"])


async def test_the_sdk_over_a_socket(server: Any) -> None:
    async with (
        AsyncOpenAI(base_url=server.url, api_key=KEY) as client,
        client.responses.connect() as connection,
    ):
        for question, answer in (("make a file", "The file is there."), ("chat", "Hello there.")):
            await connection.response.create(model="", input=question, tools=[SHELL])
            async for event in connection:
                if event.type == "response.completed":
                    assert event.response.output_text == answer
                    break


async def test_turns_on_one_socket_and_their_events(server: Any) -> None:
    async with connected(server) as socket:
        await say(socket, input="make a file", tools=[SHELL], stream=True, background=True)
        first = await heard(socket)
        for event in first:
            SERVER_EVENT.validate_python(event)
        assert [event["sequence_number"] for event in first] == list(range(len(first)))
        await say(socket, input="look again", tools=[SHELL], previous_response_id=first[-1]["response"]["id"])
        await say(socket, input="chat", stream_id="lane")  # waits for the one before
        second, third = await heard(socket), await heard(socket)
    assert text(second[-1]) == "It says hello."
    assert text(third[-1]) == "Hello there."
    assert {event.get("stream_id") for event in second} == {None}
    assert {event.get("stream_id") for event in third} == {"lane"}


async def test_what_is_not_stored_lives_as_long_as_the_socket(server: Any) -> None:
    async with connected(server) as socket:
        await say(socket, input="make a file", tools=[SHELL], store=False)
        first = (await heard(socket))[-1]["response"]["id"]
        await say(socket, input="look again", tools=[SHELL], store=False, previous_response_id=first)
        assert text((await heard(socket))[-1]) == "It says hello."
    async with connected(server) as socket:
        await say(socket, input="chat", store=False, previous_response_id=first)
        (error,) = await heard(socket)
        assert (error["status"], error["error"]["code"]) == (400, "previous_response_not_found")
        await say(socket, input="chat", store=False)
        assert (await heard(socket))[-1]["type"] == "response.completed"


async def test_failed_continuation_is_forgotten_with_its_predecessor(server: Any) -> None:
    async with connected(server) as socket:
        await say(socket, input="chat", store=False)
        first = (await heard(socket))[-1]["response"]["id"]
        output = {"type": "function_call_output", "call_id": "call_none", "output": "x"}
        await say(socket, input=[output], store=False, previous_response_id=first)
        assert (await heard(socket))[-1]["error"]["type"] == "invalid_request_error"
        await say(socket, input="chat", store=False, previous_response_id=first)
        assert (await heard(socket))[-1]["error"]["code"] == "previous_response_not_found"


async def test_compacted_items_begin_a_chain(server: Any) -> None:
    with server.client() as client:
        given: Any = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        compacted = await asyncio.to_thread(client.responses.compact, model="", input=given)
    items = [item.to_dict(warnings=False) for item in compacted.output]
    async with connected(server) as socket:
        await say(socket, input=[*items, {"role": "user", "content": "chat"}], store=False, tools=[])
        assert text((await heard(socket))[-1]) == "Hello there."


@pytest.mark.parametrize("store", [True, False])
async def test_steering_ends_the_response_and_begins_its_successor(server: Any, store: bool) -> None:
    server.runtime._turns._loop._settings.__dict__["steer_grace"] = 0.2  # the command would take a minute
    async with connected(server) as socket:
        await say(socket, input="wait", tools=[SHELL], store=store)
        events = await heard(socket, "response.output_item.done")
        events += await heard(socket, "response.output_item.added")
        response_id = events[0]["response"]["id"]
        message = [{"role": "user", "content": "change course"}]
        await say(socket, "response.steer", previous_response_id=response_id, input=message)
        rest = await heard(socket)
        successor = await heard(socket)
    accepted = next(event for event in rest if event["type"] == "response.steer.accepted")
    assert accepted["steer"]["previous_response_id"] == response_id
    for event in (*events, *rest, *successor):
        SERVER_EVENT.validate_python(event)
    numbers = [event["sequence_number"] for event in (*events, *rest)]
    assert numbers == list(range(len(numbers)))
    old, new = rest[-1]["response"], successor[-1]["response"]
    assert (old["status"], old["incomplete_details"]) == ("incomplete", {"reason": "steered"})
    assert [item["type"] for item in old["output"]] == ["shell_call", "shell_call_output"]
    assert successor[0]["type"] == "response.created"
    assert (new["previous_response_id"], text(successor[-1])) == (response_id, "On another course.")


async def test_steering_that_fails_says_why(server: Any) -> None:
    async with connected(server) as socket:
        await say(socket, "response.steer", previous_response_id="resp_none", input="x")
        (failed,) = await heard(socket, "response.steer.failed")
        assert failed["error"]["code"] == "response_not_found"
        assert failed["steer"] == {"previous_response_id": "resp_none", "input": "x"}
        await say(socket, input="chat")
        done = (await heard(socket))[-1]["response"]["id"]
        await say(socket, "response.steer", previous_response_id=done, input="x")
        assert (await heard(socket, "response.steer.failed"))[-1]["error"]["code"] == (
            "response_already_completed"
        )
        await say(socket, input="wait", tools=[SHELL])
        running = (await heard(socket, "response.created"))[-1]["response"]["id"]
        wrong = [{"role": "developer", "content": "x"}]
        await say(socket, "response.steer", previous_response_id=running, input=wrong)
        assert (await heard(socket, "response.steer.failed"))[-1]["error"]["code"] == "invalid_input"


async def test_steering_a_response_that_waits_for_the_client_is_pending(server: Any) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
    session = server.runtime.session()
    events = []
    async for event in session.respond({"input": "weather", "tools": [tool], "store": False}):
        events.append(event)
        if event.type == "response.output_item.done" and event.item.type == "function_call":
            call = event.item
            # as if it had come before the interrupt could stop anything
            session._active.interrupt.stop = lambda *_, **__: None
            steered = await session.steer(events[0].response.id, "chat")
            assert steered.type == "response.steer.accepted"
    assert [event.type for event in events[-2:]] == ["response.completed", "response.steer.pending"]
    pending = events[-1].to_dict()
    assert pending["required_input"] == [{"type": "function_call_output", "call_id": call.call_id}]
    output = {**pending["required_input"][0], "output": "rain"}
    request = {"input": [output], "tools": [tool], "store": False}
    later = [e async for e in session.respond({**request, "previous_response_id": events[0].response.id})]
    assert later[-1].response.output_text == "Hello there."


async def test_what_is_wrong_is_said_and_the_socket_goes_on(server: Any) -> None:
    async with connected(server) as socket:
        for wrong in ("{", "[]", '"x"', '{"type": "nonsense"}', "{}", '{"type":"response.create","input":7}'):
            await socket.send(wrong)
            (error,) = await heard(socket)
            assert (error["type"], error["status"]) == ("error", 400)
            assert set(error["error"]) == {"message", "type", "param", "code"}
            SERVER_EVENT.validate_python(error)
        await say(socket, input="out of script")
        failed = await heard(socket)
        assert failed[-1]["type"] == "response.failed"
        await say(socket, input="chat")
        assert (await heard(socket))[0]["type"] == "response.created"


async def test_a_client_that_leaves_ends_its_turn(server: Any) -> None:
    async with connected(server) as socket:
        await say(socket, input="wait", tools=[SHELL])
        response_id = (await heard(socket, "response.created"))[-1]["response"]["id"]
        await heard(socket, "response.output_item.done")
    with server.client() as client:
        async with asyncio.timeout(60):
            status: Any = "in_progress"
            while status == "in_progress":  # the server notices a moment later
                status = (await asyncio.to_thread(client.responses.retrieve, response_id)).status
        assert status == "incomplete"


async def test_wrong_keys(server: Any) -> None:
    for key in ("wrong", ""):
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with connected(server, key):
                pass
        assert caught.value.response.status_code == 401
