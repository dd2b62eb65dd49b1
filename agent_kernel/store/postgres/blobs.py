"""Blobs in a PostgreSQL database, in parts, so that any size is read and written in little memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from pathlib import Path

from agent_kernel.errors import NotFound, TooLarge
from agent_kernel.store.folder.blobs import FolderBlobs
from agent_kernel.store.sql.database import Database, Transaction

PART = 256 << 10
"""Bytes in one row."""

_ADD_PART = "INSERT INTO blob_parts (blob_id, number, content) SELECT id, ?, ? FROM blobs WHERE id = ?"
_CUT_OFF = "DELETE FROM blobs WHERE bytes IS NULL AND begun_at < now() - interval '1 day'"


class PostgresBlobs:
    """See `Blobs`. The size of a blob that is being written is NULL; one that was cut off goes in a day."""

    def __init__(self, database: Database, older: OlderFiles | None = None) -> None:
        self._database = database
        self._older = older

    async def put(self, id: str, content: AsyncIterable[bytes], limit: int | None = None) -> int:  # noqa: A002
        """See `Blobs`."""
        await self._database.do(
            lambda db: db.execute("INSERT INTO blobs (id, begun_at) VALUES (?, now())", (id,))
        )
        size = number = 0
        waiting = bytearray()
        try:
            async for chunk in content:
                size += len(chunk)
                if limit is not None and size > limit:
                    raise TooLarge(f"The content is larger than {limit} bytes.")
                waiting += chunk
                while len(waiting) >= PART:
                    await self._add(id, number, bytes(waiting[:PART]))
                    number += 1
                    del waiting[:PART]
            if waiting:
                await self._add(id, number, bytes(waiting))
            await self._database.do(
                lambda db: db.execute("UPDATE blobs SET bytes = ? WHERE id = ?", (size, id))
            )
        except BaseException:
            await self.delete(id)
            raise
        return size

    async def _add(self, id_: str, number: int, part: bytes) -> None:
        await self._database.do(lambda db: db.execute(_ADD_PART, (number, part, id_)))

    async def get(self, id: str) -> AsyncGenerator[bytes, None]:  # noqa: A002
        """See `Blobs`."""
        await self._take_over()
        query = "SELECT bytes FROM blobs WHERE id = ? AND bytes IS NOT NULL"
        found = await self._database.do(lambda db: db.execute(query, (id,)).fetchone(), reads=True)
        if found is None:
            raise NotFound(f"There is no blob {id!r}.")
        read = number = 0
        while read < found[0]:
            part = await self._part(id, number)
            yield part
            read += len(part)
            number += 1

    async def _part(self, id_: str, number: int) -> bytes:
        query = "SELECT content FROM blob_parts WHERE blob_id = ? AND number = ?"
        row = await self._database.do(lambda db: db.execute(query, (id_, number)).fetchone(), reads=True)
        if row is None:
            raise NotFound(f"The blob {id_!r} was deleted while it was read.")
        return bytes(row[0])

    async def delete(self, id: str) -> None:  # noqa: A002
        """See `Blobs`."""
        await self._take_over()
        await self._database.do(lambda db: db.execute("DELETE FROM blobs WHERE id = ?", (id,)))

    async def sizes(self) -> Mapping[str, int]:
        """See `Blobs`."""
        await self._take_over()

        def work(db: Transaction) -> dict[str, int]:
            db.execute(_CUT_OFF)
            return dict(db.execute("SELECT id, bytes FROM blobs WHERE bytes IS NOT NULL").fetchall())

        return await self._database.do(work)

    async def _take_over(self) -> None:
        older, self._older = self._older, None
        if older is not None:
            await older.move(self._database, self)


class OlderFiles:
    """The blobs of a store whose database was made when they were still files of the data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def move(self, database: Database, blobs: PostgresBlobs) -> None:
        """Move them into the database, if this is the folder that it was used with."""
        try:
            ours = (self._folder / "folder-id").read_text("ascii")
        except OSError:
            return
        query = "SELECT value FROM meta WHERE key = 'folder'"
        if await database.do(lambda db: db.execute(query).fetchone(), reads=True) != (ours,):
            return
        files = FolderBlobs(self._folder / "files")
        for id_ in await files.sizes():
            await blobs.delete(id_)  # of a move that was cut off
            await blobs.put(id_, files.get(id_))
            await files.delete(id_)
        await database.do(lambda db: db.execute("DELETE FROM meta WHERE key = 'folder'"))
