"""Uploaded files that a conversation names by id. A model gets their data: no upstream knows the ids."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from openai.types import FileObject

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.protocol.validation import shortened
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles, container_path

Json = Mapping[str, Any]

MOST_BYTES = 32 << 20
"""Bytes of attached files that one model call may carry, before they are encoded as base64."""

DELETED = "[An attached file no longer exists.]"
IN_CONTAINER = "[The attached file {} is in the container: /mnt/data/{}]"
TOO_MUCH = "[The attached file {} is not sent again: the files of this conversation are too large together.]"

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_OTHER = "application/octet-stream"


@dataclass(frozen=True)
class _Part:
    """A part of an item that names a file: its item's field, its place there, and the file's id."""

    field: str
    index: int
    file_id: str
    is_image: bool


class Attachments:
    """The attached files of one tenant's conversations. `limit` is in bytes, for one model call."""

    def __init__(self, files: LocalFiles, limit: int = MOST_BYTES) -> None:
        self._files = files
        self._limit = limit

    async def check(self, items: Sequence[Json], field: str = "input") -> None:
        """Check the files that the items in a `field` of a request name.

        Raises `InvalidRequest` for a file that does not exist (also for one of another tenant), for an image
        that cannot be read, and for files that are too large together.
        """
        total = 0
        for number, item in enumerate(items):
            for part in _parts(item):
                where = f"{field}[{number}].{part.field}[{part.index}].file_id"
                file = await self._existing(part.file_id, where)
                total += file.bytes
                if total > self._limit:
                    raise InvalidRequest(
                        f"The attached files together are larger than {self._limit} bytes.",
                        hint="Put large files into the container, where commands can read them.",
                        param=where,
                        code="file_too_large",
                    )
                if part.is_image and _image_type(file.filename, await self._start(file.id)) is None:
                    raise InvalidRequest(
                        f"The file {shortened(file.filename)} is not an image.",
                        hint="Attach it as input_file.",
                        param=where,
                        code="invalid_image_format",
                    )

    async def filled(
        self, items: Sequence[Json], *, in_container: bool = False, settled: int = 0
    ) -> list[Json]:
        """Return the items with the data of the files in place of their ids.

        `in_container`: the files are in the turn's container too; a line behind each says where. The first
        `settled` items have no files.

        The newest files have priority. One that was deleted, or that makes them too large together, becomes a
        line of text: a conversation can be continued without its files.
        """
        filled, left = list(items), self._limit
        loaded: dict[str, tuple[FileObject, bytes]] = {}
        for number in reversed(range(settled, len(items))):
            changed: dict[str, list[Any]] = {}
            for part in _parts(items[number]):
                parts = changed.setdefault(part.field, list(items[number][part.field]))
                try:
                    file = await self._files.retrieve(part.file_id)
                    if in_container:
                        parts.append(_text(IN_CONTAINER.format(file.filename, container_path(file))))
                    if file.bytes > left:
                        parts[part.index] = _text(TOO_MUCH.format(file.filename))
                        continue
                    left -= file.bytes
                    if file.id not in loaded:
                        loaded[file.id] = file, await self._read(file.id)
                except NotFound:
                    parts[part.index] = _text(DELETED)
                else:
                    parts[part.index] = _with_data(parts[part.index], *loaded[file.id])
            if changed:
                filled[number] = {**items[number], **changed}
        return filled

    async def _existing(self, file_id: str, where: str) -> FileObject:
        try:
            return await self._files.retrieve(file_id)
        except NotFound:
            raise InvalidRequest(
                f"No uploaded file has the id {shortened(file_id)}.",
                hint="Upload it to /v1/files first, or send its data.",
                param=where,
                code="file_not_found",
            ) from None

    async def _read(self, file_id: str) -> bytes:
        async with aclosing(self._files.content(file_id)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def _start(self, file_id: str) -> bytes:
        async with aclosing(self._files.content(file_id)) as chunks:
            return await anext(chunks, b"")


def attached(items: Sequence[Json]) -> list[str]:
    """Return the ids of the files that items name, each once."""
    return list(dict.fromkeys(part.file_id for item in items for part in _parts(item)))


def _parts(item: Json) -> Iterator[_Part]:
    """Yield the parts of a message, or of the output of a client's tool, that name a file."""
    for field in ("content", "output"):
        parts = item.get(field)
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            kind = part.get("type") if isinstance(part, Mapping) else None
            file_id = part.get("file_id") if kind in ("input_file", "input_image") else None
            if isinstance(file_id, str) and file_id:
                yield _Part(field, index, file_id, kind == "input_image")


def _with_data(part: Json, file: FileObject, content: bytes) -> Json:
    rest = {name: value for name, value in part.items() if name != "file_id"}
    is_image = part["type"] == "input_image"
    kind = _image_type(file.filename, content) if is_image else mimetypes.guess_type(file.filename)[0]
    data = f"data:{kind or _OTHER};base64,{base64.b64encode(content).decode()}"
    if is_image:
        return {**rest, "image_url": data}
    return {**rest, "filename": part.get("filename") or file.filename, "file_data": data}


def _image_type(filename: str, content: bytes) -> str | None:
    """Return the media type of an image by its content, else by its name; None: it is not an image."""
    for signature, kind in _SIGNATURES.items():
        if content.startswith(signature):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    guessed = mimetypes.guess_type(filename)[0] or ""
    return guessed if guessed.startswith("image/") else None


def _text(text: str) -> Json:
    return {"type": "input_text", "text": text}
