"""The documents of a notebook on a server."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from contextlib import suppress

from openai import AsyncOpenAI

from agent_kernel.errors import NotFound
from agent_kernel.runtime.library import KEPT_DAYS, Document
from agent_kernel.runtime.remote.errors import translated

_DAY = 24 * 3600


class RemoteLibrary:
    """See `KeepsLibrary`. A document is held in memory while it is sent, as the client does."""

    _client: AsyncOpenAI

    async def create_library(self, name: str) -> str:
        """See `KeepsLibrary`."""
        async with translated(self._client):
            made = await self._client.vector_stores.create(
                name=name, expires_after={"anchor": "last_active_at", "days": KEPT_DAYS}
            )
        return made.id

    async def add_document(self, store_id: str, filename: str, content: AsyncIterable[bytes]) -> str:
        """See `KeepsLibrary`."""
        data = b"".join([chunk async for chunk in content])
        async with translated(self._client):
            file = await self._client.files.create(
                file=(filename, data),
                purpose="assistants",
                expires_after={"anchor": "created_at", "seconds": KEPT_DAYS * _DAY},
            )
            try:
                await self._client.vector_stores.files.create(store_id, file_id=file.id)
            except BaseException:
                await self._client.files.delete(file.id)
                raise
        return file.id

    async def documents(self, store_id: str) -> Sequence[Document]:
        """See `KeepsLibrary`."""
        async with translated(self._client):
            return [
                Document(
                    each.id,
                    each.status,
                    each.usage_bytes,
                    each.last_error.message if each.last_error is not None else None,
                )
                async for each in self._client.vector_stores.files.list(store_id, limit=100, order="asc")
            ]

    async def document_text(self, store_id: str, file_id: str) -> Sequence[str]:
        """See `KeepsLibrary`."""
        async with translated(self._client):
            found = self._client.vector_stores.files.content(file_id, vector_store_id=store_id)
            return [each.text or "" async for each in found]

    async def remove_document(self, store_id: str, file_id: str) -> None:
        """See `KeepsLibrary`."""
        with suppress(NotFound):
            async with translated(self._client):
                await self._client.files.delete(file_id)
