"""A model as a small server on loopback: it answers any request with fifty words, streamed.

It speaks Chat Completions and Responses. It answers at once; with two numbers it takes that many milliseconds
until the first word and between two words, and sends each word by itself, as servers of models do.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

WORDS = 50
BEFORE_THE_FIRST = 4
"""At most so many events come before the first word, and together with it."""


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


CHAT = [
    _chunk({"role": "assistant", "content": ""}),
    *(_chunk({"content": "word "}) for _ in range(WORDS)),
    _chunk({}, "stop"),
    b"data: [DONE]\n\n",
]


def _event(kind: str, **fields: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def _response() -> list[bytes]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "word " * WORDS, "annotations": [], "logprobs": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    response = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [], "usage": None}
    delta = _event("response.output_text.delta", **place, delta="word ", logprobs=[])
    return [
        _event("response.created", response={**response, "status": "in_progress"}),
        _event("response.output_item.added", output_index=0, item={**message, "content": []}),
        _event("response.content_part.added", **place, part={**part, "text": ""}),
        *[delta] * WORDS,
        _event("response.output_text.done", **place, text=part["text"], logprobs=[]),
        _event("response.content_part.done", **place, part=part),
        _event("response.output_item.done", output_index=0, item=message),
        _event("response.completed", response={**response, "status": "completed", "output": [message]}),
    ]


RESPONSE = _response()
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "nobody"}]}


class Model:
    """Serves connections. `first` and `between` are seconds; 0: the whole answer at once."""

    def __init__(self, first: float = 0.0, between: float = 0.0) -> None:
        self._first, self._between = first, between
        self._answers = {id(pieces): b"".join(pieces) for pieces in (CHAT, RESPONSE)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                is_chat = head.partition(b"\r\n")[0].partition(b" HTTP")[0].endswith(b"/chat/completions")
                pieces = CHAT if is_chat else RESPONSE
                if head.startswith(b"GET"):
                    _send(writer, b"application/json", json.dumps(MODELS).encode())
                elif self._first:
                    await self._stream(writer, pieces)
                else:
                    _send(writer, b"text/event-stream", self._answers[id(pieces)])
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the connection has ended
        finally:
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter, pieces: Sequence[bytes]) -> None:
        await asyncio.sleep(self._first)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for number, piece in enumerate(pieces):
            if number >= BEFORE_THE_FIRST:
                await asyncio.sleep(self._between)
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")


def _send(writer: asyncio.StreamWriter, kind: bytes, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))
    writer.write(head + body)


async def main(*milliseconds: str) -> None:
    """Serve until ended; the first line says where."""
    model = Model(*(float(each) / 1000 for each in milliseconds))
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
