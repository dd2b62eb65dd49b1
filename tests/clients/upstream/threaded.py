"""The played upstream in a thread, for servers in other processes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.runtime.played import Upstream

Call = tuple[str, dict[str, Any]]


class Model:
    """What a model behind that upstream will say, in the dialect that its name begins with."""

    def __init__(self, upstream: Upstream, dialect: str) -> None:
        self.upstream = upstream
        self.dialect = dialect
        self._calls = 0

    def calls(self, *calls: Call) -> None:
        """Answer the next request with function calls."""
        made = []
        for name, arguments in calls:
            self._calls += 1
            made.append((f"call_{self._calls}", name, json.dumps(arguments, ensure_ascii=False)))
        if self.dialect == "chat":
            deltas = [_chat_call(index, *each) for index, each in enumerate(made)]
            self.upstream.says(*deltas, finish="tool_calls")
        else:
            self.upstream.streams([_function_call(*each) for each in made], in_pieces=True)

    def says(self, text: str) -> None:
        """Answer the next request with a message."""
        if self.dialect == "chat":
            self.upstream.says({"content": text})
            return
        content = [{"type": "output_text", "text": text, "annotations": []}]
        message = {"type": "message", "id": "m1", "role": "assistant", "status": "completed"}
        self.upstream.responds({**message, "content": content})

    def offered(self) -> list[dict[str, Any]]:
        """The functions in the last request."""
        return [tool.get("function") or tool for tool in self.upstream.requests[-1]["tools"]]

    def called(self) -> list[tuple[str, str]]:
        """The names and arguments of the calls that the last request tells it of."""
        request = self.upstream.requests[-1]
        if self.dialect == "chat":
            made = [call for each in request["messages"] for call in each.get("tool_calls") or ()]
            return [(call["function"]["name"], call["function"]["arguments"]) for call in made]
        return [
            (each["name"], each["arguments"]) for each in request["input"] if each["type"] == "function_call"
        ]

    def told(self) -> list[str]:
        """The outputs of calls in the last request."""
        request = self.upstream.requests[-1]
        if self.dialect == "chat":
            return [each["content"] for each in request["messages"] if each["role"] == "tool"]
        return [_text(each["output"]) for each in request["input"] if each["type"] == "function_call_output"]


def _text(output: str | Sequence[dict[str, Any]]) -> str:
    return output if isinstance(output, str) else "\n".join(part.get("text", "") for part in output)


def _chat_call(index: int, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}


def _function_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    made = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name}
    return {**made, "arguments": arguments, "status": "completed"}


@contextmanager
def playing() -> Iterator[Upstream]:
    """Listen on loopback."""
    upstream, ready = Upstream(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(upstream, ready)))
    thread.start()
    try:
        assert ready.wait(60)
        yield upstream
    finally:
        upstream.stop()
        thread.join()


async def _serve(upstream: Upstream, ready: threading.Event) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    upstream.stop = lambda: loop.call_soon_threadsafe(end.set)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    async with server:
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        ready.set()
        await end.wait()
