"""The contract for the bytes of uploaded files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Protocol


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
