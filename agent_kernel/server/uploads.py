"""Read request bodies: JSON up to a size limit, and uploaded files as streams, never whole in memory."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from agent_kernel.errors import InvalidRequest, TooLarge, UnsupportedEncoding
from agent_kernel.protocol.validation import shortened
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.server.auth import caller_of
from agent_kernel.server.bodies import decoded, encoding_of

JSON_LIMIT = 64 << 20
"""Bytes of a JSON body."""

MOST_FIELDS = 16
LONGEST_FIELD = 1024

FRAMING = 64 << 10
"""Bytes of a multipart body that are not the file itself, for the check of `Content-Length`."""


async def read_json(request: Request) -> dict[str, Any]:
    """Read the body as a JSON object.

    Raises `InvalidRequest`, `TooLarge`, `TooSlow`, `LimitReached`, `UnsupportedEncoding`. The content type
    must be JSON: browsers let web pages post other types across origins without a preflight request.
    """
    if _content_type(request) != "application/json":
        raise InvalidRequest("The body must be JSON and have the header 'Content-Type: application/json'.")
    body = bytearray()
    with caller_of(request.scope).arriving.body() as grow:
        async for chunk in decoded(request, JSON_LIMIT):
            grow(len(chunk))
            body += chunk
            if len(body) > JSON_LIMIT:
                raise TooLarge(f"The request body is larger than {JSON_LIMIT} bytes.")
    return parse_json(bytes(body))


def parse_json(text: bytes | str) -> dict[str, Any]:
    """Parse a JSON object. Raises `InvalidRequest`, also for NaN, infinities and nesting over the limit."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"The request body must be a JSON object, not {shortened(value)}.")
    return cast(dict[str, Any], well_formed(value))


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass
class Upload:
    """A file being uploaded: its name, its content as a stream, and the form's other fields.

    Fields that come after the file are in `fields` once the content has been read.
    """

    filename: str
    content: AsyncGenerator[bytes, None]
    fields: dict[str, str]


def is_json(request: Request) -> bool:
    """Return whether the content type is JSON."""
    return _content_type(request) == "application/json"


async def read_upload(request: Request, limit: int, part: str = "file") -> Upload:
    """Read a multipart body up to its part with the name `part`.

    Raises `TooLarge` if `Content-Length` is over `limit` bytes, `InvalidRequest` for anything that is not a
    file upload.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if _content_type(request) != "multipart/form-data" or not boundary:
        raise InvalidRequest(
            f"The request body must be multipart/form-data with a part '{part}'.", param=part
        )
    if encoding_of(request):
        raise UnsupportedEncoding(
            "An upload cannot have a Content-Encoding.",
            hint="Send the multipart body as it is.",
            param="file",
        )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit + FRAMING:
        raise TooLarge(f"The upload is larger than the limit of {limit} bytes.", param="file")
    upload = _Upload(boundary, request.stream(), part)
    return Upload(await upload.name(), upload.content(), upload.fields)


class _Upload:
    """Finds the part named `part` in a multipart body and yields its data in chunks."""

    def __init__(self, boundary: bytes, body: AsyncIterator[bytes], part: str = "file") -> None:
        self._part = part
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
        """Read until the part starts; return its file name."""
        while self._name is None:
            if not await self._feed():
                raise InvalidRequest(
                    f"The multipart body has no part '{self._part}' with a file name.", param=self._part
                )
        return self._name

    async def content(self) -> AsyncGenerator[bytes, None]:
        """Yield the part's data. Raises `InvalidRequest` if the body ends inside the part."""
        while True:
            data, self._data = self._data, []
            for chunk in data:
                yield chunk
            if self._whole:
                break
            if not await self._feed():
                raise InvalidRequest("The multipart body ends inside the file.", param="file")
        while await self._feed():  # read the rest, so that the connection can be used again
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
        if self._name is None and options.get(b"name") == self._part.encode() and options.get(b"filename"):
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
    """Undo the escaping of quotes and line ends that browsers and HTTP libraries apply to file names."""
    name = raw.decode("utf-8", "replace")
    for escaped, plain in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        name = name.replace(escaped, plain)
    return name
