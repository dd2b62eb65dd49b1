"""`/v1/conversations`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agent_kernel.server.pages import answer, deleted, included, listed, paging, path, runtime_of
from agent_kernel.server.uploads import read_json


async def create_conversation(request: Request) -> Response:
    """Create a conversation, optionally with its first items."""
    return answer(await runtime_of(request).conversations.create(await read_json(request)))


async def retrieve_conversation(request: Request) -> Response:
    """Return a conversation."""
    return answer(await runtime_of(request).conversations.retrieve(path(request, "conversation_id")))


async def update_conversation(request: Request) -> Response:
    """Replace a conversation's metadata."""
    params = await read_json(request)
    return answer(await runtime_of(request).conversations.update(path(request, "conversation_id"), params))


async def delete_conversation(request: Request) -> Response:
    """Delete a conversation and its items."""
    conversation_id = path(request, "conversation_id")
    await runtime_of(request).conversations.delete(conversation_id)
    return deleted(conversation_id, "conversation.deleted")


async def create_items(request: Request) -> Response:
    """Add items to a conversation."""
    params = await read_json(request)
    return listed(await runtime_of(request).conversations.add(path(request, "conversation_id"), params))


async def list_items(request: Request) -> Response:
    """List the items of a conversation."""
    conversation_id = path(request, "conversation_id")
    page = await runtime_of(request).conversations.items(
        conversation_id, **paging(request), include=included(request)
    )
    return listed(page)


async def retrieve_item(request: Request) -> Response:
    """Return one item of a conversation."""
    conversation_id, item_id = path(request, "conversation_id"), path(request, "item_id")
    item = await runtime_of(request).conversations.item(conversation_id, item_id, include=included(request))
    return answer(item)


async def delete_item(request: Request) -> Response:
    """Delete one item of a conversation."""
    conversation_id, item_id = path(request, "conversation_id"), path(request, "item_id")
    return answer(await runtime_of(request).conversations.delete_item(conversation_id, item_id))
