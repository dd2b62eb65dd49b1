"""Images, files and audio for a Chat Completions upstream: translated, or refused; never sent empty."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from tests.tools.made import model_request

PDF = "data:application/pdf;base64,AA=="
DOT = "data:image/png;base64,AA=="
SOUND = {"data": "AA==", "format": "wav"}
IMAGE = {"type": "input_image", "image_url": DOT}
AUDIO = {"type": "input_audio", "input_audio": SOUND}
TEXT = {"type": "input_text", "text": "Look."}
BY_URL = {"type": "input_file", "file_url": "https://example.com/a.pdf"}

TRANSLATED = [
    (IMAGE, {"type": "image_url", "image_url": {"url": DOT}}),
    ({**IMAGE, "detail": "low"}, {"type": "image_url", "image_url": {"url": DOT, "detail": "low"}}),
    ({**IMAGE, "detail": "original"}, {"type": "image_url", "image_url": {"url": DOT}}),
    (AUDIO, {"type": "input_audio", "input_audio": SOUND}),
    (
        {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
    ),
    (
        {"type": "input_file", "file_url": PDF},
        {"type": "file", "file": {"filename": "file.pdf", "file_data": PDF}},
    ),
    (
        {"type": "input_file", "file_data": "AA=="},
        {"type": "file", "file": {"filename": "file", "file_data": "AA=="}},
    ),
]
IMPOSSIBLE = [
    BY_URL,
    {"type": "input_file", "filename": "a.pdf"},
    {"type": "input_image"},
    {"type": "input_audio", "input_audio": {"format": "wav"}},
    {"type": "input_video", "video_url": DOT},
    {"type": "computer_screenshot", "image_url": DOT},
]


@pytest.fixture
async def model(upstream: Any) -> AsyncIterator[ChatModel]:
    body = ChatModel(Upstream(upstream.url, None, retry=RetryPolicy(0)))
    yield body
    await body.aclose()


async def sent(model: ChatModel, upstream: Any, *items: dict[str, Any]) -> list[dict[str, Any]]:
    upstream.chats({"content": "ok"})
    async for _ in model.stream(model_request("m", items)):
        pass
    return list(upstream.requests[-1]["messages"])


def call(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "plot", "arguments": "{}"}


def output(call_id: str, *parts: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": list(parts)}


@pytest.mark.parametrize(("part", "expected"), TRANSLATED)
async def test_part_of_a_message_is_translated(
    model: ChatModel, upstream: Any, part: dict[str, Any], expected: dict[str, Any]
) -> None:
    item = {"type": "message", "role": "user", "content": [TEXT, part]}
    model.check_input([item])
    (message,) = await sent(model, upstream, item)
    assert message["content"] == [{"type": "text", "text": "Look."}, expected]


@pytest.mark.parametrize(("part", "expected"), TRANSLATED)
async def test_part_of_an_output_follows_all_outputs(
    model: ChatModel, upstream: Any, part: dict[str, Any], expected: dict[str, Any]
) -> None:
    items = [call("c1"), call("c2"), output("c1", TEXT, part), output("c2", TEXT)]
    model.check_input(items)
    _, first, second, after, question = await sent(
        model, upstream, *items, {"role": "user", "content": "And?"}
    )
    assert (first["role"], first["tool_call_id"]) == ("tool", "c1")
    assert first["content"].startswith("Look.\n[")
    assert first["content"].endswith(" of this output follows in the next message.]")
    assert second == {"role": "tool", "tool_call_id": "c2", "content": "Look."}
    assert after == {
        "role": "user",
        "content": [{"type": "text", "text": "Returned by the call c1:"}, expected],
    }
    assert question["content"] == "And?"


async def test_outputs_of_two_steps_stay_with_their_steps(model: ChatModel, upstream: Any) -> None:
    items = [call("c1"), output("c1", IMAGE), call("c2"), output("c2", IMAGE, AUDIO)]
    messages = await sent(model, upstream, *items)
    assert [message["role"] for message in messages] == ["assistant", "tool", "user"] * 2
    assert [part["type"] for part in messages[-1]["content"]] == ["text", "image_url", "input_audio"]


@pytest.mark.parametrize("part", IMPOSSIBLE)
@pytest.mark.parametrize("field", ["content", "output"])
async def test_part_without_a_form_is_refused(model: ChatModel, part: dict[str, Any], field: str) -> None:
    message = {"type": "message", "role": "user", "content": [TEXT, part]}
    item = message if field == "content" else output("c1", TEXT, part)
    with pytest.raises(InvalidRequest, match="Chat Completions") as caught:
        model.check_input([call("c1"), item])
    assert caught.value.param == f"input[1].{field}[1]"
    assert caught.value.request_code == "unsupported_content"
    assert part["type"] in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("part", IMPOSSIBLE)
async def test_earlier_part_without_a_form_is_named(
    model: ChatModel, upstream: Any, part: dict[str, Any]
) -> None:
    earlier = [{"role": "user", "content": [TEXT, part]}, call("c1"), output("c1", part)]
    messages = await sent(model, upstream, *earlier)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    for message in (messages[0], messages[2]):
        assert part["type"] in message["content"]
        assert message["content"].endswith("is left out: the API of this model cannot represent it.]")


async def test_input_without_parts_passes(model: ChatModel) -> None:
    answer = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
    file = {"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}
    model.check_input([{"role": "user", "content": "Hi"}, answer, file, output("c1"), {"type": "reasoning"}])
