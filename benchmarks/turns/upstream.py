"""A model without latency: a small server on loopback that answers any chat with fifty words, streamed."""

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
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "nobody"}]}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            kind, body = b"text/event-stream", ANSWER
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
