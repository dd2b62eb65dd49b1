"""A turn does not connect anew: what an upstream sends after its answer is read, for a moment."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from agent_kernel.models.catalogue import Models
from agent_kernel.models.sending import connections as sending
from agent_kernel.protocol.deltas import TextDelta
from benchmarks.turns.upstream import RESPONSE, Model
from tests.models.sending.serving import serving
from tests.tools.made import model_request

USER = {"role": "user", "content": "Hi"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def answer(models: Models, name: str) -> str:
    model, upstream_name = models.resolve(name)
    said = [each async for each in model.stream(model_request(upstream_name, [USER]))]
    return "".join(each.text for each in said if isinstance(each, TextDelta))


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("milliseconds", [0.0, 0.001])
async def test_two_answers_need_one_connection(dialect: str, milliseconds: float) -> None:
    async with serving(Model(milliseconds, milliseconds).serve) as (url, connections):
        models = Models(upstream_url=url, upstream_key=None, default=f"{dialect}/m")
        for _ in range(2):
            assert await answer(models, f"{dialect}/m") == "word " * 50
        await models.aclose()
    assert len(connections) == 1


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer, and neither end the body nor close the connection."""
    await reader.readuntil(b"\r\n\r\n")
    whole = b"".join(RESPONSE)
    writer.write(HEAD + b"%x\r\n%s\r\n" % (len(whole), whole))
    await reader.read(-1)  # until the client hangs up


async def test_a_server_that_does_not_end_is_left() -> None:
    async with serving(endless) as (url, connections), asyncio.timeout(30):
        models = Models(upstream_url=url, upstream_key=None, default="responses/m")
        for _ in range(2):
            assert await answer(models, "responses/m") == "word " * 50
        await models.aclose()
    assert len(connections) == 2


async def test_answers_at_once_leave_connections_to_the_next() -> None:
    async with serving(Model(0.0, 0.001).serve) as (url, connections):
        models = Models(upstream_url=url, upstream_key=None, default="chat/m")
        for _ in range(3):
            said = await asyncio.gather(*(answer(models, "chat/m") for _ in range(8)))
            assert said == ["word " * 50] * 8
        await models.aclose()
    assert len(connections) == 8


async def test_cancelled_answer_closes_its_connection() -> None:
    begun = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        begun.set()
        await reader.read(-1)  # until the client hangs up

    async with serving(silent) as (url, connections), asyncio.timeout(30):
        models = Models(upstream_url=url, upstream_key=None, default="responses/m")
        for number in range(2):
            begun.clear()
            task = asyncio.create_task(answer(models, "responses/m"))
            await begun.wait()
            task.cancel()
            await asyncio.wait([task, connections[number]])
        await models.aclose()
    assert len(connections) == 2


async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer, and close the connection without having said so."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    whole = b"".join(RESPONSE)
    writer.write(HEAD + b"%x\r\n%s\r\n0\r\n\r\n" % (len(whole), whole))
    await writer.drain()


async def test_connection_that_the_server_has_closed_is_not_used() -> None:
    async with serving(once) as (url, connections), asyncio.timeout(30):
        models = Models(upstream_url=url, upstream_key=None, default="responses/m")
        for number in range(3):
            assert await answer(models, "responses/m") == "word " * 50
            await asyncio.wait([connections[number]])
        await models.aclose()
    assert len(connections) == 3


async def test_connections_expire_when_turns_need_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "EXPIRY", 0.0)
    async with serving(Model(0.0, 0.001).serve) as (url, connections):
        models = Models(upstream_url=url, upstream_key=None, default="chat/m")
        await asyncio.gather(*(answer(models, "chat/m") for _ in range(4)))
        await answer(models, "chat/m")
        await asyncio.wait(connections[:4])
        assert len(connections) == 5
        await models.aclose()


async def test_answer_that_is_closed_twice_leaves_its_connection_once() -> None:
    async with serving(Model(0.0, 0.001).serve) as (url, connections):
        pool = sending.UpstreamConnections()
        answers = []
        for _ in range(2):
            request = httpx2.Request("GET", f"{url}/models")
            response = await pool.handle_async_request(request)
            stream = response.stream
            assert isinstance(stream, httpx2.AsyncByteStream)
            answers.append(stream)
            if len(answers) == 1:
                await stream.aclose()
        await answers[0].aclose()
        third = await pool.handle_async_request(httpx2.Request("GET", f"{url}/models"))
        assert third.status_code == 200
        await pool.aclose()
    assert len(connections) >= 2
