"""`/v1/files`: uploads that containers may begin with."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agent_kernel.server.pages import answer, deleted, listed, paging, path, runtime_of
from agent_kernel.server.streams import FileStream
from agent_kernel.server.uploads import read_upload


async def upload_file(request: Request) -> Response:
    """Keep a file, with the form's other fields (`purpose`, `expires_after`) before or after it."""
    upload = await read_upload(request, request.app.state.upload_limit)
    files = runtime_of(request).files
    return answer(await files.create(filename=upload.filename, content=upload.content, form=upload.fields))


async def list_files(request: Request) -> Response:
    """Return a page of the files."""
    purpose = request.query_params.get("purpose")
    return listed(await runtime_of(request).files.list(purpose=purpose, **paging(request, limit=10_000)))


async def retrieve_file(request: Request) -> Response:
    """Return one file's metadata."""
    return answer(await runtime_of(request).files.retrieve(path(request, "file_id")))


async def file_content(request: Request) -> Response:
    """Download a file."""
    return FileStream(runtime_of(request).files.content(path(request, "file_id")))


async def delete_file(request: Request) -> Response:
    """Delete a file."""
    file_id = path(request, "file_id")
    await runtime_of(request).files.delete(file_id)
    return deleted(file_id, "file")
