"""Conversations (`/v1/conversations`): lists of items to which turns append."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from openai.types.conversations import Conversation

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.protocol import ids
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.included import Included
from agent_kernel.runtime.paging import Asked, page
from agent_kernel.runtime.turns.history import History, Json
from agent_kernel.runtime.turns.input_items import Shown, output_of, read_items, shown
from agent_kernel.runtime.turns.request import check_metadata
from agent_kernel.runtime.uploads.attachments import Attachments
from agent_kernel.store.rows import Rows

MOST_ITEMS = 20
"""Items that one request may add, as in OpenAI's API."""


class LocalConversations:
    """The conversations of one store. A conversation takes one turn at a time in this process."""

    def __init__(self, store: Rows, attachments: Attachments) -> None:
        self._store = store
        self._attachments = attachments
        self._busy: set[str] = set()

    async def create(self, params: Json) -> Conversation:
        """Create a conversation, with its first items if any. Raises `InvalidRequest`."""
        params = well_formed(dict(params))
        metadata = params.get("metadata") or {}
        check_metadata(metadata)
        items = _given(params.get("items") or [])
        await self._attachments.check(items, "items")
        id, now = ids.conversation_id(), time.time()  # noqa: A001
        await self._store.put_conversation(id, now, metadata)
        await self._store.add_conversation_items(id, items)
        return _resource(id, now, metadata)

    async def retrieve(self, conversation_id: str) -> Conversation:
        """Return one conversation. Raises `NotFound`."""
        created_at, metadata, _ = await self._row(conversation_id)
        return _resource(conversation_id, created_at, metadata)

    async def update(self, conversation_id: str, params: Json) -> Conversation:
        """Replace its metadata. Raises `NotFound`, `InvalidRequest`."""
        created_at, _, _ = await self._row(conversation_id)
        metadata = well_formed(params.get("metadata") or {})
        check_metadata(metadata)
        await self._store.put_conversation(conversation_id, created_at, metadata)
        return _resource(conversation_id, created_at, metadata)

    async def delete(self, conversation_id: str) -> None:
        """Delete it with its items; responses made in it stay. Raises `NotFound`."""
        if not await self._store.delete_conversation(conversation_id):
            raise _unknown(conversation_id)

    async def add(self, conversation_id: str, params: Json) -> Page[Shown]:
        """Append items. Raises `NotFound`, `InvalidRequest`."""
        await self._row(conversation_id)
        items = _given(well_formed(params.get("items")))
        await self._attachments.check(items, "items")
        await self._store.add_conversation_items(conversation_id, items)
        return Page([shown(item) for item in items], has_more=False)

    async def items(
        self,
        conversation_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        include: Sequence[str] = (),
    ) -> Page[Shown]:
        """Return a page of its items. Raises `NotFound`, `InvalidRequest`."""
        await self._row(conversation_id)
        visible = Included(include)
        found = [
            shown(visible.item(item)) for item, _ in await self._store.conversation_items(conversation_id)
        ]
        return await page(
            found,
            Asked(after, limit, order),
            before=lambda gone: self._store.before(conversation_id, gone),
        )

    async def item(self, conversation_id: str, item_id: str, *, include: Sequence[str] = ()) -> Shown:
        """Return one item. Raises `NotFound`."""
        await self._row(conversation_id)
        for item, _ in await self._store.conversation_items(conversation_id):
            if item["id"] == item_id:
                return shown(Included(include).item(item))
        raise _unknown(conversation_id, item_id)

    async def delete_item(self, conversation_id: str, item_id: str) -> Conversation:
        """Remove one item; returns the conversation. Raises `NotFound`."""
        conversation = await self.retrieve(conversation_id)
        if not await self._store.delete_conversation_item(conversation_id, item_id):
            raise _unknown(conversation_id, item_id)
        return conversation

    @contextmanager
    def claim(self, conversation_id: str | None) -> Iterator[None]:
        """Keep other turns out while one runs. Raises `InvalidRequest` if one does. None claims nothing."""
        if conversation_id is None:
            yield
            return
        if conversation_id in self._busy:
            raise InvalidRequest(
                f"Another turn is running in conversation {conversation_id!r}.",
                hint="Wait for its end, then send it again.",
                param="conversation",
                code="conversation_locked",
            )
        self._busy.add(conversation_id)
        try:
            yield
        finally:
            self._busy.discard(conversation_id)

    async def history(self, conversation_id: str) -> History:
        """Return the history for a turn in the conversation. Raises `NotFound`."""
        _, _, container_id = await self._row(conversation_id)
        found = await self._store.conversation_items(conversation_id)
        stopped = {item["call_id"] for item, stopped in found if stopped and item["type"] in output_of()}
        items = [
            item for item, _ in found if item["type"] != "function_call" or item.get("status") != "incomplete"
        ]
        return History(items, container_id, frozenset(stopped))

    async def _row(self, conversation_id: str) -> tuple[float, Json, str | None]:
        row = await self._store.conversation(conversation_id)
        if row is None:
            raise _unknown(conversation_id)
        return row


def _given(items: object) -> Sequence[Json]:
    read = read_items(items, "items")
    if len(read) > MOST_ITEMS:
        raise InvalidRequest(f"At most {MOST_ITEMS} items can be added at a time.", param="items")
    for item in read:
        if item["type"] == "item_reference":
            raise InvalidRequest("items must hold whole items, not references to them.", param="items")
    return read


def _resource(id: str, created_at: float, metadata: Mapping[str, Any]) -> Conversation:  # noqa: A002
    return Conversation(id=id, object="conversation", created_at=int(created_at), metadata=metadata)


def _unknown(conversation_id: str, item_id: str | None = None) -> NotFound:
    if item_id is not None:
        return NotFound(f"There is no item {item_id!r} in conversation {conversation_id!r}.", param="item_id")
    return NotFound(f"Conversation with id '{conversation_id}' not found.", param="conversation_id")
