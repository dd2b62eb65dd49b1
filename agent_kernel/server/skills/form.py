"""Read the files of a skill from a multipart body, within bounds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from agent_kernel.errors import InvalidRequest, TooLarge, UnsupportedEncoding
from agent_kernel.runtime.skills.base import LARGEST, MOST_FILES
from agent_kernel.server.auth import caller_of
from agent_kernel.server.bodies import encoding_of
from agent_kernel.server.uploads import MOST_FIELDS

_FRAMING = 1 << 20
"""Bytes of a body beside the files: headers of 500 parts."""

Form = tuple[list[tuple[str, bytes]], dict[str, str]]


async def read_files(request: Request) -> Form:
    """Return the parts `files` or `files[]` with their paths, and the other fields.

    Raises `InvalidRequest`, `TooLarge`, `LimitReached`, `UnsupportedEncoding`.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise InvalidRequest("The request body must be multipart/form-data with files.", param="files")
    if encoding_of(request):
        raise UnsupportedEncoding("An upload cannot have a Content-Encoding.", param="files")
    with caller_of(request.scope).arriving.body() as grow:
        async with aclosing(_bounded(request, grow)) as body:
            parser = MultiPartParser(request.headers, body, max_files=MOST_FILES + 1, max_fields=MOST_FIELDS)
            try:
                form = await parser.parse()
            except (MultiPartException, FormParserError, KeyError, UnicodeError) as error:
                why = getattr(error, "message", "it is damaged")
                raise InvalidRequest(f"The multipart body cannot be read: {why}", param="files") from None
        try:
            return await _content(form)
        finally:
            await form.close()


async def _bounded(request: Request, grow: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        grow(len(chunk))
        if size > LARGEST + _FRAMING:
            raise TooLarge(f"The skill is larger than {LARGEST >> 20} MiB.", param="files")
        yield chunk


async def _content(form: FormData) -> Form:
    files, fields = [], {}
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            fields[name] = value
        elif name in ("files", "files[]"):
            files.append((value.filename or "", await value.read()))
    if not files:
        raise InvalidRequest(
            "The multipart body has no files.",
            hint="Send one zip archive as `files`, or each file as `files[]` with its path.",
            param="files",
        )
    return files, fields
