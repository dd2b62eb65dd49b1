"""What the public Open Responses suite looks at, over the WebSocket and for compaction: its shapes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.server.conftest import KEY, Server
from tests.server.open_responses.shapes import EVENT, Compacted, Resource, SocketError

Json = dict[str, Any]
pytestmark = pytest.mark.parametrize(
    "backend", [pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)], indirect=True
)
HEADERS = {"Authorization": f"Bearer {KEY}"}


async def opened(server: Server) -> AsyncIterator[ClientConnection]:
    url = server.url.replace("http:", "ws:") + "/responses"
    async with connect(url, additional_headers=HEADERS, open_timeout=30) as socket:
        yield socket


@pytest.fixture
async def socket(server: Server) -> AsyncIterator[ClientConnection]:
    async for socket in opened(server):
        yield socket


async def answered(socket: ClientConnection, **body: Any) -> Json:
    """The last event of a turn: a response, or the error in its place; all have their shape."""
    request = {"type": "response.create", "model": Server.model("open_responses/script.yaml"), **body}
    await socket.send(json.dumps(request))
    while True:
        message = await socket.recv()
        event: Json = json.loads(message)
        if event["type"] == "error":
            SocketError.model_validate_json(message)
            return event
        EVENT.validate_json(message)
        if event["type"] in ("response.completed", "response.failed", "response.incomplete"):
            Resource.model_validate(event["response"])
            return event


async def test_turns_one_after_the_other(socket: ClientConnection) -> None:
    for said in ("Count from 1 to 3.", "Speak."):
        last = await answered(socket, input=[{"type": "message", "role": "user", "content": said}])
        assert last["response"]["status"] == "completed"
        assert last["response"]["output"]


async def test_going_on_without_a_store(socket: ClientConnection) -> None:
    first = await answered(socket, store=False, input="Remember the word.")
    previous = first["response"]["id"]
    second = await answered(socket, store=False, input="Which word?", previous_response_id=previous)
    assert second["response"]["status"] == "completed"
    assert second["response"]["previous_response_id"] == previous


async def test_after_a_new_connection_it_is_gone(server: Server, socket: ClientConnection) -> None:
    first = await answered(socket, store=False, input="Remember the word.")
    async for other in opened(server):
        last = await answered(
            other, store=False, input="Which word?", previous_response_id=first["response"]["id"]
        )
        assert (last["status"], last["error"]["code"]) == (400, "previous_response_not_found")
        again = await answered(other, store=False, input="Then anew.")
        assert again["response"]["status"] == "completed"


async def test_a_failure_forgets_what_it_continued(socket: ClientConnection) -> None:
    first = await answered(socket, store=False, input="Remember the word.")
    previous = first["response"]["id"]
    output = {"type": "function_call_output", "call_id": "call_none", "output": "nothing"}
    failed = await answered(socket, store=False, input=[output], previous_response_id=previous)
    assert failed["type"] == "error"
    last = await answered(socket, store=False, input="Which word?", previous_response_id=previous)
    assert last["error"]["code"] == "previous_response_not_found"


@pytest.mark.parametrize("message", ["{", '"x"', '{"type": "response.dance"}', '{"type": "response.create"}'])
async def test_every_error_has_status_and_code(socket: ClientConnection, message: str) -> None:
    await socket.send(message)
    SocketError.model_validate_json(await socket.recv())
    assert (await answered(socket, input="Speak."))["response"]["status"] == "completed"


async def test_without_a_turn_there_is_a_response_to_continue(socket: ClientConnection) -> None:
    warm = await answered(socket, store=False, generate=False, input="Remember the word.")
    assert warm["response"]["id"]
    last = await answered(
        socket, store=False, input="Which word?", previous_response_id=warm["response"]["id"]
    )
    assert last["response"]["status"] == "completed"


async def test_a_compacted_conversation_begins_another(server: Server, socket: ClientConnection) -> None:
    said = [
        {"type": "message", "role": "user", "content": "We meet on Friday."},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Friday."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Keep that."}]},
    ]
    body = {"model": server.model("open_responses/script.yaml"), "prompt_cache_key": "friday", "input": said}
    compacted = httpx2.post(f"{server.url}/responses/compact", json=body, headers=HEADERS, timeout=30)
    assert compacted.status_code == 200, compacted.text
    output = Compacted.model_validate_json(compacted.content).output
    assert "compaction" in {item.type for item in output}
    user = {"type": "message", "role": "user", "content": "Go on."}
    last = await answered(socket, store=False, tools=[], input=[*compacted.json()["output"], user])
    assert last["response"]["status"] == "completed"


def test_compaction_wants_a_model(server: Server) -> None:
    body = {"input": [{"type": "message", "role": "user", "content": "Compact this."}]}
    response = httpx2.post(f"{server.url}/responses/compact", json=body, headers=HEADERS)
    assert response.status_code in (400, 422)
    assert response.json()["error"]["param"] == "model"


async def test_a_client_that_leaves_is_no_error(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async for socket in opened(server):
        await answered(socket, input="Speak.")
    server.stop()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
