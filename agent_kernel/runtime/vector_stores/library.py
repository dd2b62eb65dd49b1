"""The documents of a notebook in this process's vector stores."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from contextlib import suppress

from agent_kernel.errors import NotFound
from agent_kernel.runtime.base import Files
from agent_kernel.runtime.library import KEPT_DAYS, Document
from agent_kernel.runtime.vector_stores.base import VectorStores

_MOST = 100
_DAY = 24 * 3600


class LocalLibrary:
    """See `KeepsLibrary`."""

    @property
    def vector_stores(self) -> VectorStores:
        """The vector stores."""
        raise NotImplementedError

    @property
    def files(self) -> Files:
        """The uploaded files."""
        raise NotImplementedError

    async def create_library(self, name: str) -> str:
        """See `KeepsLibrary`."""
        expiry = {"anchor": "last_active_at", "days": KEPT_DAYS}
        return (await self.vector_stores.create({"name": name, "expires_after": expiry})).id

    async def add_document(self, store_id: str, filename: str, content: AsyncIterable[bytes]) -> str:
        """See `KeepsLibrary`."""
        form = {"purpose": "assistants", "expires_after[seconds]": str(KEPT_DAYS * _DAY)}
        file = await self.files.create(filename=filename, content=content, form=form)
        try:
            await self.vector_stores.files.create(store_id, {"file_id": file.id})
        except BaseException:
            await self.files.delete(file.id)
            raise
        return file.id

    async def documents(self, store_id: str) -> Sequence[Document]:
        """See `KeepsLibrary`."""
        found: list[Document] = []
        after = None
        while True:
            page = await self.vector_stores.files.list(store_id, after=after, limit=_MOST, order="asc")
            for each in page.data:
                why = each.last_error.message if each.last_error is not None else None
                found.append(Document(each.id, each.status, each.usage_bytes, why))
            if not page.has_more:
                return found
            after = page.data[-1].id

    async def document_text(self, store_id: str, file_id: str) -> Sequence[str]:
        """See `KeepsLibrary`."""
        return await self.vector_stores.files.content(store_id, file_id)

    async def remove_document(self, store_id: str, file_id: str) -> None:
        """See `KeepsLibrary`."""
        with suppress(NotFound):
            await self.files.delete(file_id)
