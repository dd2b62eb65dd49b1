"""`/v1/vector_stores`."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent_kernel.errors import NotFound
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.vector_stores.base import KeepsDocuments
from agent_kernel.server.pages import answer, deleted, listed, paging, path, runtime_of
from agent_kernel.server.uploads import read_json


def documents_of(request: Request) -> KeepsDocuments:
    """Return the runtime as the caller may see it. Raises `NotFound` if it has no vector stores."""
    runtime = runtime_of(request)
    if not isinstance(runtime, KeepsDocuments):
        raise NotFound("This server has no vector stores.")
    return runtime


def paging_with_before(request: Request) -> dict[str, Any]:
    """Return which page of a list the query asks for, from either side."""
    return {**paging(request), "before": request.query_params.get("before")}


def found(data: list[dict[str, Any]], kind: str, **more: Any) -> JSONResponse:
    """Answer with all that was found, as the only page."""
    return JSONResponse({"object": kind, **more, "data": data, "has_more": False, "next_page": None})


async def create_vector_store(request: Request) -> Response:
    """Create a vector store."""
    return answer(await documents_of(request).vector_stores.create(await read_json(request)))


async def list_vector_stores(request: Request) -> Response:
    """List vector stores."""
    return listed(await documents_of(request).vector_stores.list(**paging_with_before(request)))


async def retrieve_vector_store(request: Request) -> Response:
    """Return a vector store."""
    return answer(await documents_of(request).vector_stores.retrieve(path(request, "vector_store_id")))


async def update_vector_store(request: Request) -> Response:
    """Change a vector store's name, metadata or expiry."""
    stores, store_id = documents_of(request).vector_stores, path(request, "vector_store_id")
    return answer(await stores.update(store_id, await read_json(request)))


async def delete_vector_store(request: Request) -> Response:
    """Delete a vector store; its files stay."""
    store_id = path(request, "vector_store_id")
    await documents_of(request).vector_stores.delete(store_id)
    return deleted(store_id, "vector_store.deleted")


async def search_vector_store(request: Request) -> Response:
    """Search a vector store."""
    params = await read_json(request)
    stores = documents_of(request).vector_stores
    data = [to_json(each) for each in await stores.find(path(request, "vector_store_id"), params)]
    query = params["query"]
    queries = [query] if isinstance(query, str) else query
    return found(data, "vector_store.search_results.page", search_query=queries)
