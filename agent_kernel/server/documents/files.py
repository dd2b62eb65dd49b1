"""`/v1/vector_stores/{vector_store_id}/files` and `/file_batches`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agent_kernel.runtime.vector_stores.base import FileBatches, StoredFiles
from agent_kernel.server.documents.stores import documents_of, found, paging_with_before
from agent_kernel.server.pages import answer, deleted, listed, path
from agent_kernel.server.uploads import read_json


def _files(request: Request) -> tuple[StoredFiles, str]:
    return documents_of(request).vector_stores.files, path(request, "vector_store_id")


def _batches(request: Request) -> tuple[FileBatches, str]:
    return documents_of(request).vector_stores.file_batches, path(request, "vector_store_id")


async def create_vector_store_file(request: Request) -> Response:
    """Add an uploaded file to a vector store."""
    files, store_id = _files(request)
    return answer(await files.create(store_id, await read_json(request)))


async def list_vector_store_files(request: Request) -> Response:
    """List the files of a vector store."""
    files, store_id = _files(request)
    status = request.query_params.get("filter")
    return listed(await files.list(store_id, status=status, **paging_with_before(request)))


async def retrieve_vector_store_file(request: Request) -> Response:
    """Return a file of a vector store."""
    files, store_id = _files(request)
    return answer(await files.retrieve(store_id, path(request, "file_id")))


async def update_vector_store_file(request: Request) -> Response:
    """Replace the attributes of a file."""
    files, store_id = _files(request)
    return answer(await files.update(store_id, path(request, "file_id"), await read_json(request)))


async def delete_vector_store_file(request: Request) -> Response:
    """Remove a file from a vector store; the upload stays."""
    files, store_id = _files(request)
    file_id = path(request, "file_id")
    await files.delete(store_id, file_id)
    return deleted(file_id, "vector_store.file.deleted")


async def vector_store_file_content(request: Request) -> Response:
    """Return the text of a file as it was indexed."""
    files, store_id = _files(request)
    texts = await files.content(store_id, path(request, "file_id"))
    return found([{"type": "text", "text": text} for text in texts], "vector_store.file_content.page")


async def create_file_batch(request: Request) -> Response:
    """Add several files to a vector store."""
    batches, store_id = _batches(request)
    return answer(await batches.create(store_id, await read_json(request)))


async def retrieve_file_batch(request: Request) -> Response:
    """Return a batch of files."""
    batches, store_id = _batches(request)
    return answer(await batches.retrieve(store_id, path(request, "batch_id")))


async def cancel_file_batch(request: Request) -> Response:
    """Cancel the files of a batch that are not indexed yet."""
    batches, store_id = _batches(request)
    return answer(await batches.cancel(store_id, path(request, "batch_id")))


async def list_file_batch_files(request: Request) -> Response:
    """List the files of a batch."""
    files, store_id = _files(request)
    batches, _ = _batches(request)
    batch = await batches.retrieve(store_id, path(request, "batch_id"))
    status = request.query_params.get("filter")
    paging = paging_with_before(request)
    return listed(await files.list(store_id, batch_id=batch.id, status=status, **paging))
