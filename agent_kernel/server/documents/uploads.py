"""`/v1/uploads`: a file that arrives in parts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agent_kernel.server.documents.stores import documents_of
from agent_kernel.server.pages import answer, path
from agent_kernel.server.uploads import read_json, read_upload


async def create_upload(request: Request) -> Response:
    """Begin an upload in parts."""
    return answer(await documents_of(request).uploads.create(await read_json(request)))


async def add_upload_part(request: Request) -> Response:
    """Add a part to an upload."""
    upload = await read_upload(request, request.app.state.upload_limit, part="data")
    return answer(await documents_of(request).uploads.add_part(path(request, "upload_id"), upload.content))


async def complete_upload(request: Request) -> Response:
    """Make a file of the parts of an upload."""
    uploads, upload_id = documents_of(request).uploads, path(request, "upload_id")
    return answer(await uploads.complete(upload_id, await read_json(request)))


async def cancel_upload(request: Request) -> Response:
    """Give up an upload."""
    return answer(await documents_of(request).uploads.cancel(path(request, "upload_id")))
