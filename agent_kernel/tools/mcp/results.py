"""What a call came to, as an item has it: text for the model, parts for the user, or the API's error object.

Everything here was sent by an MCP server: it is bounded, and nothing in it is followed or run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]

LONGEST = 200_000
"""Characters of a result that are kept: its head and its tail."""
MAX_MEDIA = 8 << 20
"""Characters of base64 in all pictures and sounds of one result that are kept."""
MOST_PARTS = 100
DEEPEST = 50
"""Nested objects and lists in JSON that a server sends."""

PROTOCOL, HTTP, EXECUTION = "mcp_protocol_error", "http_error", "mcp_tool_execution_error"
"""The types of the API's error object."""

INTERNAL = -32603
TIMED_OUT = -32001
NOT_RUN = -32000
"""Codes of errors: those of JSON-RPC, and of those that it leaves to applications."""


@dataclass(frozen=True)
class McpOutcome:
    """The end of a call: its `output`, or the `error`. `content` are parts that are not text."""

    output: str | None = None
    error: Json | None = None
    content: Sequence[Json] = ()


@dataclass(frozen=True)
class McpProgress:
    """What a server reports while a call runs. `total` is None if it is not known."""

    progress: float
    total: float | None = None
    message: str | None = None


def failure(kind: str, code: int, message: str) -> McpOutcome:
    """Return the outcome of a call that had no result."""
    return McpOutcome(error={"type": kind, "code": code, "message": clipped(message)})


def outcome_of(result: Any) -> McpOutcome:
    """Return the outcome of the `mcp` package's `CallToolResult`."""
    texts: list[str] = []
    media: list[Json] = []
    room = MAX_MEDIA
    for block in result.content[:MOST_PARTS]:
        text, part = _block(block)
        if part is not None and len(part["data"]) > room:
            text, part = f"{text} (too large to keep)", None
        if part is not None:
            room -= len(part["data"])
            media.append(part)
        texts.append(text)
    if len(result.content) > MOST_PARTS:
        texts.append(f"[{len(result.content) - MOST_PARTS} more parts left out]")
    texts += _structured(result.structured_content, texts)
    text = clipped("\n".join(texts))
    if result.is_error:
        return McpOutcome(
            error={"type": EXECUTION, "content": [{"type": "text", "text": text}]}, content=media
        )
    return McpOutcome(text, None, media)


def _block(block: Any) -> tuple[str, Json | None]:
    """Return a part's text, and the part itself if it is a picture or a sound."""
    match block.type:
        case "text":
            return str(block.text), None
        case "image" | "audio":
            mime = _short(block.mime_type)
            size = len(block.data) * 3 // 4
            part = {"type": block.type, "mime_type": mime, "data": block.data}
            return f"[{block.type}: {mime}, {size} bytes, shown to the user]", part
        case "resource_link":
            return f"[resource: {_short(block.name)} {_short(block.uri)}]", None
        case "resource":
            content = block.resource
            text = getattr(content, "text", None)
            about = f"[resource: {_short(content.uri)}]"
            return (f"{about}\n{text}" if isinstance(text, str) else f"{about} (binary)"), None
    return f"[{_short(block.type)}]", None


def _structured(value: Any, texts: Sequence[str]) -> Iterator[str]:
    """Yield structured content as JSON text, unless the texts have it: servers should send it as both."""
    if value is None:
        return
    if is_deep(value):
        yield "[structured content left out: it is nested too deeply]"
        return
    if any(_same(text, value) for text in texts) or value == {"result": "\n".join(texts)}:
        return
    yield json.dumps(value, ensure_ascii=False)


def _same(text: str, value: Any) -> bool:
    if len(text) > LONGEST:
        return True
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return bool(said == value or value == {"result": said})


def is_deep(value: Any, deepest: int = DEEPEST) -> bool:
    """Return whether JSON is nested more deeply than allowed. It is not recursed into."""
    level = [value]
    for _ in range(deepest):
        inner = [each for each in level if isinstance(each, Mapping | list)]
        if not inner:
            return False
        level = [one for each in inner for one in (each.values() if isinstance(each, Mapping) else each)]
    return True


def clipped(text: str, longest: int = LONGEST) -> str:
    """Return a text with its middle left out if it is too long, and without lone surrogates."""
    if len(text) > longest:
        half = longest // 2
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n[... {left_out} characters left out ...]\n{text[-half:]}"
    return text.encode("utf-8", "replace").decode("utf-8")


def error_text(error: Any) -> str:
    """Return an item's error as text for a model."""
    if not isinstance(error, Mapping):
        return str(error)
    if error.get("type") == EXECUTION:
        content = error.get("content")
        parts = content if isinstance(content, list) else [content]
        return "\n".join(str(each.get("text") if isinstance(each, Mapping) else each) for each in parts)
    return str(error.get("message"))


def _short(value: object) -> str:
    text = "".join(each for each in str(value)[:300] if each.isprintable())
    return clipped(text)
