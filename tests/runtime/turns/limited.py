"""An HTTP upstream whose model has a small context window: it counts the bytes of each request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.runtime.played import call

COMPACTED = {"type": "compaction", "id": "cmp_up", "encrypted_content": "blob"}
SUMMARY = "They asked for numbers, and the last was 42."


class LimitedUpstream:
    """Answers in the dialect of the request's path. Four bytes are a token.

    `says` decides how it refuses: `llama` has numbers in fields, `vllm` in its message, `openai` a code, and
    `words` only says that it is too much. `usage`: whether answers report tokens. `compacts`: whether it
    has the endpoint for compaction.
    """

    def __init__(
        self, window: int, says: str = "llama", *, usage: bool = True, compacts: bool = False
    ) -> None:
        self.window = window
        self.says = says
        self.compacts = compacts
        self.usage = usage
        self.url = ""
        self.prepared: list[dict[str, Any] | str] = []
        """The answers to requests that fit: text, or the arguments of a call to the shell."""
        self.refused: list[dict[str, Any]] = []
        self.answered: list[dict[str, Any]] = []
        self.summaries: list[dict[str, Any]] = []

    @property
    def last(self) -> str:
        """The last request that was answered, as JSON."""
        return json.dumps(self.answered[-1])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        body = await reader.readexactly(length)
        status, content, kind = self._answer(head.split()[1], json.loads(body), length // 4)
        top = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n"
        writer.write(f"{top}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _answer(self, path: str, request: dict[str, Any], tokens: int) -> tuple[int, bytes, str]:
        if path.endswith("/compact") and not self.compacts:
            return 404, b"{}", "application/json"
        if tokens + (request.get("max_tokens") or request.get("max_output_tokens") or 0) > self.window:
            self.refused.append(request)
            return 400, json.dumps({"error": self._error(tokens)}).encode(), "application/json"
        if path.endswith("/compact"):
            body = {"id": "r", "object": "response.compaction", "created_at": 1, "output": [COMPACTED]}
            return 200, json.dumps(body).encode(), "application/json"
        if "Write a summary" in json.dumps(request):
            self.summaries.append(request)
            answer: dict[str, Any] | str = SUMMARY
        else:
            self.answered.append(request)
            answer = self.prepared.pop(0)
        events = (
            self._chat(answer, tokens) if path.endswith("completions") else self._responses(answer, tokens)
        )
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        return 200, "".join([*lines, "data: [DONE]\n\n"]).encode(), "text/event-stream"

    def _error(self, tokens: int) -> dict[str, Any]:
        match self.says:
            case "llama":
                numbers = {"n_prompt_tokens": tokens, "n_ctx": self.window}
                return {"code": 400, "type": "exceed_context_size_error", "message": "too much", **numbers}
            case "vllm":
                words = (
                    f"This model's maximum context length is {self.window} tokens. However, your request has"
                )
                return {"message": f"{words} {tokens} input tokens.", "type": "BadRequestError", "code": 400}
            case "openai":
                return {"message": "Too much.", "type": "x", "code": "context_length_exceeded"}
        return {"message": "litellm.ContextWindowExceededError: no room", "code": "400"}

    def _chat(self, answer: dict[str, Any] | str, tokens: int) -> list[dict[str, Any]]:
        is_text = isinstance(answer, str)
        delta = {"content": answer} if isinstance(answer, str) else call(0, "shell", answer, self._call_id())
        base: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        finish = "stop" if is_text else "tool_calls"
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        usage = {"prompt_tokens": tokens, "completion_tokens": 5, "total_tokens": tokens + 5}
        return [
            {**base, "choices": choices},
            *([{**base, "choices": [], "usage": usage}] if self.usage else []),
        ]

    def _responses(self, answer: dict[str, Any] | str, tokens: int) -> list[dict[str, Any]]:
        if isinstance(answer, str):
            part = {"type": "output_text", "text": answer, "annotations": []}
            item: dict[str, Any] = {"type": "message", "id": "m", "role": "assistant", "content": [part]}
        else:
            ids = {"id": f"fc_{len(self.answered)}", "call_id": self._call_id()}
            item = {"type": "function_call", **ids, "name": "shell", "arguments": json.dumps(answer)}
        usage = {"input_tokens": tokens, "output_tokens": 5, "total_tokens": tokens + 5}
        end = {"id": "r", "status": "completed", "output": [item], "usage": usage if self.usage else None}
        return [{"type": "response.completed", "response": end}]

    def _call_id(self) -> str:
        return f"call_{len(self.answered)}"


@asynccontextmanager
async def serving(upstream: LimitedUpstream) -> AsyncIterator[LimitedUpstream]:
    """Serve the upstream on a free port of loopback."""
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=1 << 26)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield upstream
