"""The parts of messages and function outputs, as blocks of the Messages API.

| part | becomes |
|---|---|
| text of any kind | `text` |
| `input_image` with a `data:` URL or an https address | `image` |
| `input_file` with the data of a PDF, or with an https address of one | `document` |
| `input_file` with the data of a text file in UTF-8 | `document` with its text |
| anything else, such as audio | nothing: the API has no form for it |
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent_kernel.models.chat_parts import LEFT_OUT, part_name

Block = dict[str, Any]

TAKES = "It takes text, images (PNG, JPEG, GIF, WebP), PDF files, and text files with their data."

_DATA = re.compile(r"data:(?P<kind>[\w.+/-]+)(?:;charset=[\w-]+)?;base64,(?P<data>[A-Za-z0-9+/=\s]*)")
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_PDF = "application/pdf"
_TEXTS = ("application/json", "application/xml", "application/yaml", "application/x-yaml")
_LONGEST_TITLE = 500
"""Characters of a document's title that the API takes."""


def text_block(text: str) -> Block:
    """Return a block of text."""
    return {"type": "text", "text": text}


def image_block(url: str) -> Block | None:
    """Return an image by its `data:` URL or its address, None if the API has no form for it."""
    found = _DATA.fullmatch(url)
    if found is not None:
        return {"type": "image", "source": _base64(found)} if found["kind"] in _IMAGES else None
    if url.startswith("https://"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    return None


def document_block(data: str, name: str = "") -> Block | None:
    """Return a file by its data as a `data:` URL, None if the API has no form for it."""
    found = _DATA.fullmatch(data)
    if found is None:
        return None
    title = {"title": name[:_LONGEST_TITLE]} if name else {}
    if found["kind"] == _PDF:
        return {"type": "document", "source": _base64(found), **title}
    text = _text_in(found)
    if not text:
        return None
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, **title}


def block_of_part(part: object) -> Block | None:
    """Return a part as a block, None if the API has no form for it."""
    if not isinstance(part, Mapping):
        return None
    match part.get("type"):
        case "input_image":
            url = part.get("image_url")
            return image_block(url) if isinstance(url, str) else None
        case "input_file":
            return _file(part)
        case "input_audio":
            return None
        case _:
            text = part["text"] if "text" in part else part.get("refusal")
            return text_block(text) if isinstance(text, str) else None


def blocks_of(content: Any) -> Iterator[Block]:
    """Yield the blocks of a message's content or of a function's output, a text or a list of parts.

    Blank text is left out: the API refuses it. A line replaces a part that it has no form for.
    """
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}]
    for part in content if isinstance(content, list) else ():
        block = block_of_part(part) or text_block(LEFT_OUT.format(part_name(part)))
        if block["type"] != "text" or block["text"].strip():
            yield block


def _file(part: Mapping[str, Any]) -> Block | None:
    given, url = part.get("file_data"), part.get("file_url")
    data = given or url
    if not isinstance(data, str):
        return None
    if not given and data.startswith("https://"):
        return {"type": "document", "source": {"type": "url", "url": data}} if _is_pdf(data) else None
    name = str(part.get("filename") or "")
    if not data.startswith("data:") and name.lower().endswith(".pdf"):
        data = f"data:{_PDF};base64,{data}"  # plain base64, which OpenAI's API takes too
    return document_block(data, name)


def _is_pdf(url: str) -> bool:
    return url.partition("#")[0].partition("?")[0].lower().endswith(".pdf")


def _text_in(found: re.Match[str]) -> str | None:
    if not found["kind"].startswith("text/") and found["kind"] not in _TEXTS:
        return None
    try:
        return base64.b64decode(found["data"]).decode()
    except ValueError:
        return None


def _base64(found: re.Match[str]) -> Block:
    return {"type": "base64", "media_type": found["kind"], "data": re.sub(r"\s", "", found["data"])}
