"""The contract for the bytes of uploaded files, and a move of them from one place to another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing
from typing import Protocol

from agent_kernel.errors import NotFound


class Blobs(Protocol):
    """Immutable byte strings by id. Ids are made by the runtime, never taken from a request.

    All methods raise `ConfigurationError` if the storage cannot be used, for instance because it is full.
    """

    async def put(self, id: str, content: AsyncIterable[bytes], limit: int | None = None) -> int:  # noqa: A002
        """Store a stream under a new id and return its size in bytes.

        Raises `TooLarge` as soon as more than `limit` bytes have come, and whatever `content` raises. After
        an error or a cancellation nothing is left; until `put` returns, the blob does not exist.
        """
        ...

    def get(self, id: str) -> AsyncGenerator[bytes, None]:  # noqa: A002
        """Return the bytes in chunks. Raises `NotFound` at the first chunk. Close the generator when done."""
        ...

    async def delete(self, id: str) -> None:  # noqa: A002
        """Delete a blob. Does nothing if there is none."""
        ...

    async def sizes(self) -> Mapping[str, int]:
        """Return the size in bytes of every blob, by id."""
        ...


class MovingBlobs:
    """New blobs in one place; those that were there before stay readable where they are, until deleted."""

    def __init__(self, new: Blobs, old: Blobs) -> None:
        self._new = new
        self._old = old

    async def put(self, id: str, content: AsyncIterable[bytes], limit: int | None = None) -> int:  # noqa: A002
        """See `Blobs`."""
        return await self._new.put(id, content, limit)

    async def get(self, id: str) -> AsyncGenerator[bytes, None]:  # noqa: A002
        """See `Blobs`."""
        for blobs in (self._new, self._old):
            try:
                async with aclosing(blobs.get(id)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except NotFound:
                if blobs is self._old:
                    raise

    async def delete(self, id: str) -> None:  # noqa: A002
        """See `Blobs`."""
        await self._new.delete(id)
        await self._old.delete(id)

    async def sizes(self) -> Mapping[str, int]:
        """See `Blobs`."""
        return {**await self._old.sizes(), **await self._new.sizes()}
