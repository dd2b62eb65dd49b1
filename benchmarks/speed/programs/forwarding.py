"""A server that does nothing but pass a turn on, with the libraries that `agent-kernel serve` stands on.

    python forwarding.py UPSTREAM_URL

It checks, stores and numbers nothing: what it adds to an answer is the least that any server on Starlette,
uvicorn and the `openai` package's HTTP client adds. The first line that it prints has its base URL.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import openai
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

PATHS = {"chat": "chat/completions", "responses": "responses"}
FIELDS = {"chat": "messages", "responses": "input"}


def event(kind: str, **fields: object) -> bytes:
    """Return an event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


class Forwarding:
    """Sends each request on, and its answer back: a line of the upstream is an event."""

    def __init__(self, url: str) -> None:
        self._client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
        self._url = url

    async def respond(self, request: Request) -> StreamingResponse:
        """Answer `POST /v1/responses`."""
        asked = json.loads(await request.body())
        dialect, _, model = asked["model"].partition("/")
        message = [{"role": "user", "content": asked["input"]}]
        body = {"model": model, FIELDS[dialect]: message, "stream": True}
        return StreamingResponse(self._events(PATHS[dialect], body), media_type="text/event-stream")

    async def _events(self, path: str, body: dict[str, object]) -> AsyncIterator[bytes]:
        http = self._client._client
        yield event("response.created") + event("response.in_progress")
        request = http.build_request(
            "POST", f"{self._url}/{path}", json=body, headers=self._client.auth_headers
        )
        answer = await http.send(request, stream=True)
        async for piece in answer.aiter_bytes():
            lines = [line[6:] for line in piece.split(b"\n") if line.startswith(b"data: {")]
            yield b"".join(event("response.output_text.delta", delta=json.loads(line)) for line in lines)
        yield event("response.completed")


class Announced(uvicorn.Server):
    """Says where it serves."""

    async def startup(self, sockets: object = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup()
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"http://127.0.0.1:{port}/v1/", flush=True)


def main(url: str) -> None:
    """Serve until ended."""
    app = Starlette(routes=[Route("/v1/responses", Forwarding(url).respond, methods=["POST"])])
    config = uvicorn.Config(app, port=0, http="h11", ws="none", lifespan="off", log_level="warning")
    asyncio.run(Announced(config).serve())


if __name__ == "__main__":
    main(sys.argv[1])
