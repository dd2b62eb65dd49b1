"""Whatever way a server streams an answer: no text is lost, and each call is read once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_kernel.errors import UpstreamInterrupted
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.calls import CallDelta, CallDone, RejectedCall
from agent_kernel.protocol.deltas import ModelDelta, ReasoningDelta, TextDelta, Truncated
from agent_kernel.protocol.response import new_response
from agent_kernel.tools.client import CLIENT_FUNCTION
from tests.models.reading.answers import Answer, random_answer
from tests.models.reading.chat_player import ChatPlayer
from tests.models.reading.responses_player import ResponsesPlayer
from tests.runtime.played import Upstream as Played
from tests.tools.made import model_request

REQUEST = model_request("m", [{"role": "user", "content": "Hi"}], functions=[{"name": "plot"}])
SHORT = settings(max_examples=40, derandomize=True, deadline=None, database=None)
LONG = settings(SHORT, max_examples=5000, derandomize=False)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class Line:
    """A server on loopback, and a model of each dialect that asks it, in an event loop for the module."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._played = Played()
        self._models: dict[str, Any] = {}
        self._runner.run(self._open())

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._played.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        self._upstream = Upstream(url, None, retry=RetryPolicy(0))
        self._models = {
            "chat": ChatModel(self._upstream),
            "responses": ResponsesModel(self._upstream, native=False),
        }

    def read(self, dialect: str, body: bytes) -> tuple[list[ModelDelta], UpstreamInterrupted | None]:
        """Return the deltas of an answer, and how it broke off if it did."""
        self._played.prepared = [HEAD + body]
        deltas: list[ModelDelta] = []

        async def read() -> None:
            async for delta in self._models[dialect].stream(REQUEST):
                deltas.append(delta)

        try:
            self._runner.run(read())
        except UpstreamInterrupted as error:
            return deltas, error
        return deltas, None

    def close(self) -> None:
        async def close() -> None:
            await self._upstream.aclose()
            self._server.close()
            await self._server.wait_closed()

        self._runner.run(close())
        self._runner.close()


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


def body_of(dialect: str, random: Random, answer: Answer) -> bytes:
    events = (ChatPlayer(random) if dialect == "chat" else ResponsesPlayer(random)).events(answer)
    lines = [each if isinstance(each, str) else json.dumps(each) for each in events]
    return "".join(f"data: {each}\n\n" for each in lines).encode()


def called(deltas: list[ModelDelta]) -> Counter[tuple[str, Any]]:
    """Return the calls that were read, with what they say; those of the client in their pieces, joined."""
    done = [each for each in deltas if isinstance(each, CallDone)]
    written: dict[str, str] = {}
    for each in deltas:
        if isinstance(each, CallDelta) and each.tool is CLIENT_FUNCTION:
            written[each.call_id] = written.get(each.call_id, "") + each.text
    ids = [each.call_id for each in done]
    assert len(ids) == len(set(ids))
    return Counter([("shell", each.parts) for each in done] + [("plot", text) for text in written.values()])


def expected(answer: Answer) -> Counter[tuple[str, Any]]:
    return Counter(
        (each.name, tuple(json.loads(each.arguments)["commands"]) if each.name == "shell" else each.arguments)
        for each in answer.calls()
    )


def text(deltas: list[ModelDelta], kind: type[TextDelta] | type[ReasoningDelta]) -> str:
    return "".join(each.text for each in deltas if isinstance(each, kind))


def assembled(deltas: list[ModelDelta]) -> str:
    """Return the text of the items that the deltas become. Raises if they fit into none."""
    assembler = Assembler(new_response({}, id="r", model="m", tools=[], created_at=0))
    assembler.begin()
    events = [event for delta in deltas for event in assembler.feed(delta)]
    events += assembler.end_step()
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def check_whole(line: Line, dialect: str, random: Random) -> None:
    answer = random_answer(random)
    deltas, error = line.read(dialect, body_of(dialect, random, answer))
    assert error is None
    assert assembled(deltas) == text(deltas, TextDelta)
    read = text(deltas, TextDelta), text(deltas, ReasoningDelta)
    whole = answer.text(), answer.text(reasoning=True)
    if not answer.is_cut:
        assert (read, called(deltas)) == (whole, expected(answer))
        assert not [each for each in deltas if isinstance(each, RejectedCall)]
        return
    assert any(isinstance(each, Truncated) for each in deltas)
    assert [each.split() for each in read] == [each.split() for each in whole]
    assert shells(called(deltas)) <= shells(expected(answer))
    assert shells(expected(answer) - called(deltas)).total() <= 1  # the one that was cut off


def shells(calls: Counter[tuple[str, Any]]) -> Counter[tuple[str, Any]]:
    """Return the calls of the shell. Those of the client are written piece by piece, and may stay open."""
    return Counter({each: count for each, count in calls.items() if each[0] == "shell"})


def check_broken(line: Line, dialect: str, random: Random) -> None:
    answer = random_answer(random)
    body = body_of(dialect, random, answer)
    deltas, _ = line.read(dialect, body[: random.randrange(len(body))])
    assert answer.text().startswith(text(deltas, TextDelta).rstrip("\ufffd"))
    assert shells(called(deltas)) <= shells(expected(answer))


CHECKS = pytest.mark.parametrize("check", [check_whole, check_broken], ids=["whole", "broken off"])
DIALECTS = pytest.mark.parametrize("dialect", ["chat", "responses"])


@CHECKS
@DIALECTS
@given(random=st.randoms(use_true_random=True))
@SHORT
def test_stream_is_read_once(line: Line, dialect: str, check: Any, random: Random) -> None:
    check(line, dialect, random)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@CHECKS
@DIALECTS
@given(random=st.randoms(use_true_random=True))
@LONG
def test_many_streams_are_read_once(line: Line, dialect: str, check: Any, random: Random) -> None:
    check(line, dialect, random)


SHELL = '{"commands": ["echo %d"]}'


def closed(line: Line, *events: dict[str, Any], output: list[dict[str, Any]]) -> list[ModelDelta]:
    ended = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": output}}
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in [*events, ended])
    deltas, error = line.read("responses", body.encode())
    assert error is None
    return deltas


@pytest.mark.parametrize("named", ["by id", "by index"])
def test_closing_event_in_another_order(line: Line, named: str) -> None:
    output, added = list[dict[str, Any]](), list[dict[str, Any]]()
    for number in (0, 1):
        ids = {"id": f"fc_{number}", "call_id": f"call_{number}"}
        item = {"type": "function_call", **ids, "name": "shell", "arguments": ""}
        index = {"output_index": number} if named == "by index" else {}
        added.append({"type": "response.output_item.added", **index, "item": item})
        end_ids = {} if named == "by id" else {"id": f"end_{number}", "call_id": f"end_{number}"}
        output.append({**item, "arguments": SHELL % number, **end_ids})
    deltas = closed(line, *reversed(added), output=output)
    ran = {each.call_id: each.parts for each in deltas if isinstance(each, CallDone)}
    assert ran == {"call_0": ("echo 0",), "call_1": ("echo 1",)}


def test_text_after_a_call_keeps_its_place(line: Line) -> None:
    def chunk(finish: str | None = None, **delta: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps({'id': 'c', 'choices': [choice]})}\n\n"

    def call(number: int) -> str:
        function = {"name": "shell", "arguments": SHELL % number}
        return chunk(tool_calls=[{"index": 0, "id": f"call_{number}", "function": function}])

    for finish in ("stop", "length"):
        body = [call(0), chunk(content="one "), call(1), chunk(content="two"), chunk(finish)]
        deltas, _ = line.read("chat", "".join(body).encode())
        assert text(deltas, TextDelta) == "one two"


@pytest.mark.parametrize(
    "cut", ['{"commands": ["echo 1', "{", '{"commands": ["echo 1"]}', ' {"commands": ["echo 1"]}{"comm']
)
@pytest.mark.parametrize("name", ["shell", "plot"])
def test_whole_calls_before_a_cut_one_are_read(line: Line, name: str, cut: str) -> None:
    """A server without ids repeats the name for its next call, under the same index."""
    begun = {"name": name, "arguments": ""}
    pieces = [begun, {"arguments": SHELL % 0}, begun, {"arguments": cut}]
    deltas = [{"tool_calls": [{"index": 0, "function": piece}]} for piece in pieces]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "length"})
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    body = "".join(f"data: {json.dumps({**chunk, 'choices': [each]})}\n\n" for each in choices)
    read, error = line.read("chat", (body + "data: [DONE]\n\n").encode())
    assert error is None
    assert Truncated("max_output_tokens") in read
    whole = [("echo 0",), ("echo 1",)] if cut.endswith("comm") else [("echo 0",)]
    if name == "shell":
        assert [each.parts for each in read if isinstance(each, CallDone)] == whole
    else:
        written = [text for _, text in called(read)]
        assert written[: len(whole)] == [SHELL % number for number in range(len(whole))]
