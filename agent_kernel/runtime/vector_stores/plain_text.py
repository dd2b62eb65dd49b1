"""Which files are plain text, and their text. Decoding is all that the host does with what a file says."""

from __future__ import annotations

import codecs
import posixpath
import re
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Literal

Kind = Literal["text", "pdf", "office", "html", "mail", "unsupported"]

HEAD = 4096
"""Bytes by which a file's kind is recognised."""

_HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_MAIL = re.compile(
    rb"(?:(?:From |>From ).*\r?\n)?(?:[\w-]+:.*\r?\n(?:[ \t].*\r?\n)*)*?"
    rb"(?:from|received|message-id|return-path|mime-version):", re.I
)  # fmt: skip
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CONTROL = {each: None for each in range(32) if chr(each) not in "\t\n"} | {0x7F: None}
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def kind_of(filename: str, head: bytes) -> Kind:
    """Return how the text of a file can be read, by its first bytes and its name."""
    suffix = posixpath.splitext(filename)[1].lower()
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return "office"
    if head.startswith(tuple(_BOMS)):
        return "text"
    if b"\0" in head:
        return "unsupported"
    if suffix in (".html", ".htm", ".xhtml") or (suffix in ("", ".txt") and _HTML.match(head)):
        return "html"
    if suffix in (".eml", ".mbox") or (suffix == "" and _MAIL.match(head)):
        return "mail"
    return "text"


async def decoded(chunks: AsyncIterable[bytes]) -> AsyncGenerator[str, None]:
    """Yield the text of a file that is plain text: UTF-8, UTF-16 with a mark, otherwise Windows-1252."""
    decoder: codecs.IncrementalDecoder | None = None
    async for chunk in chunks:
        if decoder is None:
            decoder = codecs.getincrementaldecoder(_encoding(chunk))("replace")
        yield clean(decoder.decode(chunk))
    if decoder is not None:
        yield clean(decoder.decode(b"", final=True))


def clean(text: str) -> str:
    """Return a text without control characters, and with plain line ends."""
    return _LINE_ENDS.sub("\n", text).translate(_CONTROL)


def _encoding(head: bytes) -> str:
    for mark, name in _BOMS.items():
        if head.startswith(mark):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
