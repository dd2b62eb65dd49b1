"""Request bodies: JSON of a bounded size, and an uploaded file as a stream that is never held whole."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from agent_kernel.errors import InvalidRequest, TooLarge
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.server.auth import caller_of

JSON_LIMIT = 64 << 20
"""Bytes of a JSON body."""

MOST_FIELDS = 16
LONGEST_FIELD = 1024

FRAMING = 64 << 10
"""Bytes that a multipart body may have beside the file itself, for the check of its announced length."""


async def read_json(request: Request) -> dict[str, Any]:
    """Read the body as a JSON object.

    Raises `InvalidRequest`, `TooLarge`, `TooSlow`, `LimitReached`. The content type must say JSON: a web page
    may post other types across origins without asking first.
    """
    if _content_type(request) != "application/json":
        raise InvalidRequest("The body must be JSON, with the header 'Content-Type: application/json'.")
    body = bytearray()
    with caller_of(request.scope).arriving.body() as grow:
        async for chunk in request.stream():
            grow(len(chunk))
            body += chunk
            if len(body) > JSON_LIMIT:
                raise TooLarge(f"The body is larger than {JSON_LIMIT} bytes.")
    return parse_json(bytes(body))


def parse_json(text: bytes | str) -> dict[str, Any]:
    """Parse a JSON object. Raises `InvalidRequest`, also for numbers that JSON does not have."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return cast(dict[str, Any], well_formed(value))


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass
class Upload:
    """A file on its way in: its name, its content as it comes, and the form's other fields.

    Those after it are in `fields` once the content has been read.
    """

    filename: str
    content: AsyncGenerator[bytes, None]
    fields: dict[str, str]


def is_json(request: Request) -> bool:
    """Whether the body says that it is JSON."""
    return _content_type(request) == "application/json"


async def read_upload(request: Request, limit: int) -> Upload:
    """Read a multipart body up to its part `file`; the fields' values appear in `fields` as they come.

    Raises `TooLarge` if the body is announced as larger than `limit` bytes, `InvalidRequest` for anything
    that is not a file upload.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if _content_type(request) != "multipart/form-data" or not boundary:
        raise InvalidRequest("The body must be multipart/form-data with a part 'file'.", param="file")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit + FRAMING:
        raise TooLarge(f"The upload is larger than {limit} bytes, the most that one may have.", param="file")
    upload = _Upload(boundary, request.stream())
    return Upload(await upload.name(), upload.content(), upload.fields)


class _Upload:
    """Finds the part named `file` in a multipart body and hands its data on, chunk by chunk."""

    def __init__(self, boundary: bytes, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._data: list[bytes] = []
        self._header = [b"", b""]
        self._disposition = b""
        self._name: str | None = None
        self._in_file = False
        self._whole = False
        self._field: str | None = None
        self.fields: dict[str, str] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                },
            )
        except FormParserError as error:
            raise InvalidRequest(f"The multipart body cannot be read: {error}.", param="file") from error

    async def name(self) -> str:
        """Read until the part begins; return its file name."""
        while self._name is None:
            if not await self._feed():
                raise InvalidRequest("The multipart body has no part 'file' with a file name.", param="file")
        return self._name

    async def content(self) -> AsyncGenerator[bytes, None]:
        """Yield the part's data. Raises `InvalidRequest` if the body ends before the part does."""
        while True:
            data, self._data = self._data, []
            for chunk in data:
                yield chunk
            if self._whole:
                break
            if not await self._feed():
                raise InvalidRequest("The multipart body ends in the middle of the file.", param="file")
        while await self._feed():  # whatever follows the file is read, so that the connection can go on
            self._data.clear()

    async def _feed(self) -> bool:
        chunk = await anext(self._body, None)
        if chunk is None:
            return False
        try:
            if chunk:
                self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidRequest(f"The multipart body cannot be read: {error}.", param="file") from error
        return True

    def _part_begin(self) -> None:
        self._disposition = b""
        self._header = [b"", b""]

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if self._name is None and options.get(b"name") == b"file" and options.get(b"filename"):
            self._name = _file_name(options[b"filename"])
            self._in_file = True
        elif b"filename" not in options and len(self.fields) < MOST_FIELDS:
            self._field = options.get(b"name", b"").decode("utf-8", "replace")
            self.fields[self._field] = ""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._data.append(data[start:end])
        elif self._field is not None and len(self.fields[self._field]) < LONGEST_FIELD:
            self.fields[self._field] += data[start:end].decode("utf-8", "replace")

    def _part_end(self) -> None:
        self._field = None
        if self._in_file:
            self._in_file = False
            self._whole = True


def _file_name(raw: bytes) -> str:
    """Undo what browsers and HTTP libraries do to quotes and line ends in file names."""
    name = raw.decode("utf-8", "replace")
    for escaped, plain in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        name = name.replace(escaped, plain)
    return name
