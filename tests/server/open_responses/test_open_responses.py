"""What the public Open Responses suite looks at, over HTTP: our own requests, its shapes."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from tests.server.conftest import KEY, Server
from tests.server.open_responses.shapes import EVENT, Resource

Json = dict[str, Any]
pytestmark = pytest.mark.parametrize(
    "backend", [pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)], indirect=True
)

TEMPERATURE: Json = {
    "type": "function",
    "name": "temperature",
    "description": "The temperature in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5"
    "ErkJggg=="
)


def user(text: str) -> Json:
    return {"type": "message", "role": "user", "content": text}


def post(server: Server, body: Json) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {KEY}"}
    model = server.model("open_responses/script.yaml")
    return httpx2.post(f"{server.url}/responses", json={"model": model, **body}, headers=headers, timeout=30)


def answered(server: Server, **body: Any) -> Json:
    """The answer, which has the shape."""
    response = post(server, body)
    assert response.status_code == 200, response.text
    Resource.model_validate_json(response.content)
    answer: Json = response.json()
    assert answer["output"]
    return answer


def streamed(server: Server, **body: Any) -> list[Json]:
    """The events, each of which has its shape."""
    response = post(server, {**body, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        EVENT.validate_json(data.removeprefix("data: "))
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


@pytest.mark.parametrize(
    "input",
    [
        pytest.param([user("Say something.")], id="text"),
        pytest.param(
            [{"type": "message", "role": "system", "content": "You whisper."}, user("Speak.")], id="system"
        ),
        pytest.param(
            [
                {"type": "message", "role": "assistant", "phase": "commentary", "content": "Let me see."},
                {"type": "message", "role": "assistant", "phase": "final_answer", "content": "Seven."},
                user("Once more."),
            ],
            id="phases",
        ),
        pytest.param(
            [
                {
                    "type": "message",
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is this?"},
                        {"type": "input_image", "image_url": DOT},
                    ],
                }
            ],
            id="image",
        ),
        pytest.param(
            [
                {
                    "type": "message",
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is it called?"},
                        {
                            "type": "input_file",
                            "filename": "a.txt",
                            "file_data": "data:text/plain;base64,YQ==",
                        },
                    ],
                }
            ],
            id="file",
        ),
        pytest.param(
            [
                user("I am Ada."),
                {"type": "message", "role": "assistant", "content": "Hello Ada."},
                user("Who am I?"),
            ],
            id="turns",
        ),
    ],
)
def test_what_may_be_said(server: Server, input: list[Json]) -> None:  # noqa: A002
    answer = answered(server, input=input)
    assert answer["status"] == "completed"
    assert answer["output"][-1]["content"][0]["text"] == "I hear you."


def test_a_stream(server: Server) -> None:
    events = streamed(server, input=[user("Count from 1 to 3.")])
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.completed",
    ]
    assert events[-1]["response"]["status"] == "completed"


def test_a_function(server: Server) -> None:
    body: Json = {"input": [user("What is the temperature in Oslo?")], "tools": [TEMPERATURE]}
    (call,) = answered(server, **body)["output"]
    assert (call["type"], call["name"]) == ("function_call", "temperature")
    assert json.loads(call["arguments"]) == {"city": "Oslo"}


def test_a_function_streamed(server: Server) -> None:
    events = streamed(server, input=[user("What is the temperature in Oslo?")], tools=[TEMPERATURE])
    pieces = [e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta"]
    (done,) = (e["arguments"] for e in events if e["type"] == "response.function_call_arguments.done")
    assert "".join(pieces) == done
    items = [e["item"] for e in events if e["type"].startswith("response.output_item")]
    assert [item["type"] for item in items] == ["function_call", "function_call"]


def test_a_function_answered(server: Server) -> None:
    first = answered(
        server,
        input="What is the temperature in Oslo?",
        tools=[TEMPERATURE],
        tool_choice={"type": "function", "name": "temperature"},
    )
    (call,) = first["output"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "-4 degrees"}
    second = answered(server, input=[result], previous_response_id=first["id"])
    assert second["status"] == "completed"
    assert second["output"][-1]["content"][0]["text"] == "It is -4 there."


def test_a_previous_response(server: Server) -> None:
    first = answered(server, input="Remember the word.")
    second = answered(server, input="Which word?", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]


def test_a_model_that_is_not_here(server: Server) -> None:
    response = post(server, {"model": "gpt-none", "input": "Speak."})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "model_not_found"


def test_the_shapes_are_strict(server: Server) -> None:
    answer = answered(server, input="Speak.")
    for name in set(Resource.model_fields):
        with pytest.raises(ValidationError, match=name):
            Resource.model_validate({key: value for key, value in answer.items() if key != name})
    reasoning = {**answer["output"][0], "encrypted_content": None}
    with pytest.raises(ValidationError, match="encrypted_content"):
        Resource.model_validate({**answer, "output": [reasoning]})
