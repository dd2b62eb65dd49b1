"""The parts of messages and function outputs, in the form of Chat Completions.

| part | becomes |
|---|---|
| text of any kind | `text` |
| `input_image` with `image_url` | `image_url` |
| `input_file` with `file_data`, or with a `data:` URL | `file` |
| `input_audio` | `input_audio` |
| anything else, such as a file by the URL of another server | nothing: the API cannot represent it |

Tool messages have text only, so what else a function returned goes into a user message after them.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.base import Item
from agent_kernel.protocol.validation import shortened

Part = dict[str, Any]

LEFT_OUT = "[{} is left out: the API of this model cannot represent it.]"
"""The text that replaces a part of an earlier turn. Another model may have accepted it."""
FOLLOWS = "[{} of this output follows in the next message.]"
RETURNED = "Returned by the call {}:"

_BY_URL = "Send its data as file_data, or upload it to /v1/files and send its file_id."
_OTHERWISE = "It takes text, images by URL, files with their data, and audio with data and format."
_DETAILS = ("auto", "low", "high")
_NAMES = {
    "input_file": "A file (input_file)",
    "input_image": "An image (input_image)",
    "input_audio": "Audio (input_audio)",
}


def chat_part(part: object) -> Part | None:
    """Return the part in the API's form, None if it has none."""
    if not isinstance(part, Mapping):
        return None
    match part.get("type"):
        case "input_image":
            return _image(part)
        case "input_file":
            return _file(part)
        case "input_audio":
            return _audio(part.get("input_audio"))
        case _:
            text = part["text"] if "text" in part else part.get("refusal")
            return {"type": "text", "text": text} if isinstance(text, str) else None


def content_of(content: Any) -> Any:
    """Return a message's content. Text alone becomes a string, because many servers take only strings."""
    if isinstance(content, str):
        return content
    parts = [chat_part(part) or _text(LEFT_OUT.format(part_name(part))) for part in content or ()]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def split_output(call_id: str, output: Any) -> tuple[str, list[Part]] | None:
    """Return the text of a function's output and the parts for the message after it, None if it is text.

    The text says what follows. The parts begin with a line that names the call.
    """
    if not isinstance(output, list) or all("text" in part for part in output if isinstance(part, Mapping)):
        return None
    lines: list[str] = []
    others: list[Part] = []
    for part in output:
        translated = chat_part(part)
        if translated is None:
            lines.append(LEFT_OUT.format(part_name(part)))
        elif translated["type"] == "text":
            lines.append(translated["text"])
        else:
            lines.append(FOLLOWS.format(part_name(part)))
            others.append(translated)
    if others:
        others.insert(0, _text(RETURNED.format(call_id)))
    return "\n".join(lines), others


def check_parts(
    items: Sequence[Item],
    translate: Callable[[object], Part | None] = chat_part,
    api: str = "Chat Completions",
    takes: str = _OTHERWISE,
) -> None:
    """Raise `InvalidRequest` for the first part that the API has no form for: for which `translate` has none.

    Files that are named by an id are let through: they get their data before the model is asked.
    """
    for number, item in enumerate(items):
        for field, index, part in _parts(item):
            if translate(part) is not None or (isinstance(part, Mapping) and part.get("file_id")):
                continue
            by_url = isinstance(part, Mapping) and part.get("type") == "input_file" and part.get("file_url")
            what = f"{part_name(part)}{' given by its URL' if by_url else ''}"
            raise InvalidRequest(
                f"{what} cannot be sent to this model: its API ({api}) cannot represent it.",
                hint=_BY_URL if by_url else takes,
                param=f"input[{number}].{field}[{index}]",
                code="unsupported_content",
            )


def _parts(item: Item) -> Iterator[tuple[str, int, Any]]:
    """Yield the parts of a message of the user, or of a function's output, with their places."""
    kind = item.get("type") or "message"
    if kind == "message" and item.get("role") != "assistant":
        field = "content"
    elif kind in ("function_call_output", "custom_tool_call_output"):
        field = "output"
    else:
        return
    parts = item.get(field)
    for index, part in enumerate(parts if isinstance(parts, list) else ()):
        yield field, index, part


def _image(part: Mapping[str, Any]) -> Part | None:
    url = part.get("image_url")
    if not isinstance(url, str) or not url:
        return None
    detail = {"detail": part["detail"]} if part.get("detail") in _DETAILS else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def _file(part: Mapping[str, Any]) -> Part | None:
    data, url = part.get("file_data"), part.get("file_url")
    if not data and isinstance(url, str) and url.startswith("data:"):
        data = url
    if not isinstance(data, str) or not data:
        return None
    return {"type": "file", "file": {"filename": part.get("filename") or _filename(data), "file_data": data}}


def _filename(data: str) -> str:
    """Return a name for a file without one, which the API asks for, with the suffix of its media type."""
    kind = data[:200].removeprefix("data:").partition(";")[0] if data.startswith("data:") else ""
    return f"file{mimetypes.guess_extension(kind) or ''}"


def _audio(audio: object) -> Part | None:
    if not isinstance(audio, Mapping) or not (audio.get("data") and audio.get("format")):
        return None
    return {"type": "input_audio", "input_audio": {name: audio[name] for name in ("data", "format")}}


def part_name(part: object) -> str:
    """Return the name of a part in a sentence."""
    kind = str(part.get("type")) if isinstance(part, Mapping) else "part"
    return _NAMES.get(kind, f"A part of the type {shortened(kind)}")


def _text(text: str) -> Part:
    return {"type": "text", "text": text}
