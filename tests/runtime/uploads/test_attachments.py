"""Files that the input names by id: their data goes to the upstream, in both dialects."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.keys import Key
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.uploads.attachments import DELETED, TOO_MUCH, Attachments
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import Upstream, runtime_on, turns_of

pytestmark = pytest.mark.bubblewrap

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CALL = {"type": "function_call", "call_id": "c1", "name": "plot", "arguments": "{}"}


def data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def asked(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "input_text", "text": "Look."}, *parts]}]


async def upload(runtime: Any, name: str, content: bytes) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    form = {"purpose": "user_data"}
    return str((await runtime.files.create(filename=name, content=chunks(), form=form)).id)


@pytest.fixture
async def runtime(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[LocalRuntime]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as made:
        yield made


def answer(upstream: Upstream) -> None:
    upstream.responds({"type": "message", "id": "m", "role": "assistant", "content": []})


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("notes.pdf", b"%PDF-1.4", "application/pdf"),
        ("a b.txt", "é\n".encode(), "text/plain"),
        ("unknown", bytes(range(256)) * 1000, "application/octet-stream"),
        ("empty.txt", b"", "text/plain"),
    ],
)
async def test_file_data_goes_to_both_dialects(
    upstream: Upstream, runtime: LocalRuntime, name: str, content: bytes, kind: str
) -> None:
    part = {"type": "input_file", "file_id": await upload(runtime, name, content)}
    answer(upstream)
    response = await turns_of(runtime)(asked(part), model="responses/m")
    expected = {"filename": name, "file_data": data(kind, content)}
    assert upstream.requests[0]["input"][0]["content"][1] == {"type": "input_file", **expected}
    upstream.says({"content": "Done"})
    await turns_of(runtime)("On.", model="chat/m", previous_response_id=response.id)
    assert upstream.requests[1]["messages"][0]["content"][1] == {"type": "file", "file": expected}
    (stored,) = (await runtime.input_items(response.id)).data
    assert to_json(stored)["content"][1] == part  # the store keeps the id


@pytest.mark.parametrize("name", ["dot.png", "misnamed.jpg", "none"])
async def test_image_data_goes_to_both_dialects(upstream: Upstream, runtime: LocalRuntime, name: str) -> None:
    part = {"type": "input_image", "file_id": await upload(runtime, name, PNG), "detail": "low"}
    answer(upstream)
    await turns_of(runtime)(asked(part), model="responses/m")
    url = data("image/png", PNG)
    sent = upstream.requests[0]["input"][0]["content"][1]
    assert sent == {"type": "input_image", "detail": "low", "image_url": url}
    upstream.says({"content": "Done"})
    await turns_of(runtime)(asked(part), model="chat/m")
    sent = upstream.requests[1]["messages"][0]["content"][1]
    assert sent == {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


async def test_image_in_a_function_output_is_sent(upstream: Upstream, runtime: LocalRuntime) -> None:
    part = {"type": "input_image", "file_id": await upload(runtime, "dot.png", PNG)}
    answer(upstream)
    output = {"type": "function_call_output", "call_id": "c1", "output": [part]}
    await turns_of(runtime)([*asked(), CALL, output], model="responses/m")
    sent = upstream.requests[0]["input"][2]["output"]
    assert sent == [{"type": "input_image", "image_url": data("image/png", PNG)}]


async def test_image_in_an_output_is_sent_to_chat(upstream: Upstream, runtime: LocalRuntime) -> None:
    part = {"type": "input_image", "file_id": await upload(runtime, "dot.png", PNG)}
    output = {"type": "function_call_output", "call_id": "c1", "output": [part]}
    upstream.says({"content": "Done"})
    await turns_of(runtime)([*asked(), CALL, output], model="chat/m")
    sent = upstream.requests[0]["messages"][-1]["content"]
    assert sent[1] == {"type": "image_url", "image_url": {"url": data("image/png", PNG)}}


async def test_file_by_url_is_refused_and_the_chain_goes_on(
    upstream: Upstream, runtime: LocalRuntime
) -> None:
    part = {"type": "input_file", "file_url": "https://example.com/a.pdf"}
    with pytest.raises(InvalidRequest, match=r"input_file.*cannot be sent to this model") as caught:
        await turns_of(runtime)(asked(part), model="chat/m")
    assert caught.value.param == "input[0].content[1]"
    assert not upstream.requests
    answer(upstream)
    response = await turns_of(runtime)(asked(part), model="responses/m")
    upstream.says({"content": "Done"})
    await turns_of(runtime)("On.", model="chat/m", previous_response_id=response.id)
    assert "input_file" in upstream.requests[1]["messages"][0]["content"]


@pytest.mark.parametrize("model", ["responses/m", "chat/m"])
@pytest.mark.parametrize("kind", ["input_file", "input_image"])
@pytest.mark.parametrize("whose", ["nobody", "another tenant", "deleted"])
async def test_unknown_file_is_refused_before_the_turn(
    upstream: Upstream, runtime: LocalRuntime, model: str, kind: str, whose: str
) -> None:
    file_id = "file-0" * 40
    if whose == "another tenant":
        file_id = await upload(runtime.for_key(Key(name="other")), "dot.png", PNG)
    elif whose == "deleted":
        file_id = await upload(runtime, "dot.png", PNG)
        await runtime.files.delete(file_id)
    with pytest.raises(InvalidRequest, match="No uploaded file has the id") as caught:
        await turns_of(runtime)(asked({"type": kind, "file_id": file_id}), model=model)
    assert caught.value.param == "input[0].content[1].file_id"
    assert not upstream.requests
    assert not (await runtime.containers.list()).data


async def test_image_that_is_none_is_refused(upstream: Upstream, runtime: LocalRuntime) -> None:
    part = {"type": "input_image", "file_id": await upload(runtime, "notes.txt", b"text")}
    with pytest.raises(InvalidRequest, match=r"'notes.txt' is not an image"):
        await turns_of(runtime)(asked(part), model="responses/m")


async def test_too_large_files_are_refused_or_left_out(runtime: LocalRuntime) -> None:
    small = Attachments(runtime.files, limit=10)
    six = {"type": "input_file", "file_id": await upload(runtime, "six.txt", b"666666")}
    await small.check(asked(six))
    with pytest.raises(InvalidRequest, match="together are larger than 10 bytes") as caught:
        await small.check(asked(six, six))
    assert caught.value.param == "input[0].content[2].file_id"
    old, new = (item["content"][1] for item in await small.filled([*asked(six), *asked(six)]))
    assert old == {"type": "input_text", "text": TOO_MUCH.format("six.txt")}
    assert new["file_data"] == data("text/plain", b"666666")


async def test_conversation_refuses_unknown_files(upstream: Upstream, runtime: LocalRuntime) -> None:
    wrong = {"items": asked({"type": "input_file", "file_id": "file-0"})}
    conversation = await runtime.conversations.create({})
    for work in (runtime.conversations.create(wrong), runtime.conversations.add(conversation.id, wrong)):
        with pytest.raises(InvalidRequest, match="No uploaded file has the id 'file-0'") as caught:
            await work
        assert caught.value.param == "items[0].content[1].file_id"
    part = {"type": "input_file", "file_id": await upload(runtime, "notes.txt", b"text")}
    await runtime.conversations.add(conversation.id, {"items": asked(part)})
    answer(upstream)
    await turns_of(runtime)("On.", model="responses/m", conversation=conversation.id)
    sent = upstream.requests[-1]["input"][0]["content"][1]
    assert sent["file_data"] == data("text/plain", b"text")


async def test_chain_goes_on_without_a_deleted_file(upstream: Upstream, runtime: LocalRuntime) -> None:
    part = {"type": "input_file", "file_id": await upload(runtime, "notes.txt", b"text")}
    answer(upstream)
    first = await turns_of(runtime)(asked(part), model="responses/m")
    await runtime.files.delete(part["file_id"])
    answer(upstream)
    await turns_of(runtime)("On.", model="responses/m", previous_response_id=first.id)
    sent = upstream.requests[-1]["input"][0]["content"][1]
    assert sent == {"type": "input_text", "text": DELETED}


async def test_compaction_reads_attached_files(upstream: Upstream, runtime: LocalRuntime) -> None:
    part = {"type": "input_file", "file_id": await upload(runtime, "notes.txt", b"text")}
    upstream.says({"content": "A summary."})
    compacted = await runtime.compact({"model": "chat/m", "input": asked(part)})
    sent = upstream.requests[-1]["messages"][0]["content"][1]
    assert sent["file"]["file_data"] == data("text/plain", b"text")
    assert to_json(compacted)["output"][0]["content"][1] == part
