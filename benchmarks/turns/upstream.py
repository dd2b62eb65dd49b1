"""A model without latency: a small server on loopback that answers any request with fifty words, streamed.

It speaks Chat Completions and Responses.
"""

from __future__ import annotations

import asyncio
import json

WORDS = 50


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


ANSWER = b"".join(
    [
        _chunk({"role": "assistant", "content": ""}),
        *(_chunk({"content": "word "}) for _ in range(WORDS)),
        _chunk({}, "stop"),
        b"data: [DONE]\n\n",
    ]
)


def _event(kind: str, **fields: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def _response() -> bytes:
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
    return b"".join(
        [
            _event("response.created", response={**response, "status": "in_progress"}),
            _event("response.output_item.added", output_index=0, item={**message, "content": []}),
            _event("response.content_part.added", **place, part={**part, "text": ""}),
            *[delta] * WORDS,
            _event("response.output_text.done", **place, text=part["text"], logprobs=[]),
            _event("response.content_part.done", **place, part=part),
            _event("response.output_item.done", output_index=0, item=message),
            _event("response.completed", response={**response, "status": "completed", "output": [message]}),
        ]
    )


RESPONSE = _response()
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "nobody"}]}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            is_chat = head.partition(b"\r\n")[0].partition(b" HTTP")[0].endswith(b"/chat/completions")
            kind, body = b"text/event-stream", ANSWER if is_chat else RESPONSE
            if head.startswith(b"GET"):
                kind, body = b"application/json", json.dumps(MODELS).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
                % (kind, len(body), body)
            )
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the connection has ended
    finally:
        writer.close()


async def main() -> None:
    """Serve until ended; the first line says where."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
