"""`/v1/files`: uploaded files, which new containers may start with."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agent_kernel.server.pages import answer, deleted, listed, paging, path, runtime_of
from agent_kernel.server.streams import FileStream
from agent_kernel.server.uploads import read_upload


async def upload_file(request: Request) -> Response:
    """Store a file. The form's other fields (`purpose`, `expires_after`) may come before or after it."""
    upload = await read_upload(request, request.app.state.upload_limit)
    files = runtime_of(request).files
    return answer(await files.create(filename=upload.filename, content=upload.content, form=upload.fields))


async def list_files(request: Request) -> Response:
    """List uploaded files."""
    purpose = request.query_params.get("purpose")
    return listed(await runtime_of(request).files.list(purpose=purpose, **paging(request, limit=10_000)))


async def retrieve_file(request: Request) -> Response:
    """Return the metadata of a file."""
    return answer(await runtime_of(request).files.retrieve(path(request, "file_id")))


async def file_content(request: Request) -> Response:
    """Download a file."""
    return FileStream(runtime_of(request).files.content(path(request, "file_id")))


async def delete_file(request: Request) -> Response:
    """Delete a file."""
    file_id = path(request, "file_id")
    await runtime_of(request).files.delete(file_id)
    return deleted(file_id, "file")
