"""Indexes the files that were added to vector stores, one after the other, in the background."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress

from agent_kernel.errors import AgentKernelError, InvalidRequest, NotFound
from agent_kernel.models.embedding.embedders import Embedder
from agent_kernel.runtime.containers.sweep import STORE_LABEL
from agent_kernel.runtime.vector_stores.chunking import Chunking, chunks_of
from agent_kernel.runtime.vector_stores.extraction import Extraction, UnreadableFile
from agent_kernel.runtime.vector_stores.passages import Passages
from agent_kernel.runtime.vector_stores.resources import expires_at
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.pool import OWNER_LABEL, process_name
from agent_kernel.store.base import Store
from agent_kernel.store.blobs import Blobs
from agent_kernel.store.documents import Documents, StoredFileRow

log = logging.getLogger(__name__)

TOGETHER = 64
"""Chunks that are written at a time."""

LEASE = 60.0
"""Seconds that the sandbox of an extraction outlives this process."""


class Indexer:
    """Indexes files of all tenants. `engine` returns the backend of sandboxes.

    A file that this process has not finished when it ends is indexed anew by the next one that starts.
    """

    def __init__(
        self,
        store: Store,
        documents: Documents,
        engine: Callable[[], Awaitable[Backend]],
        embedder: Embedder | None,
        limit: int,
    ) -> None:
        self._rows = store.rows
        self._blobs: Blobs = store.blobs
        self._coordination = store.coordination
        self._documents = documents
        self._engine = engine
        self._embedder = embedder
        self._limit = limit
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def owner(self) -> str:
        """The name of this process on files that it indexes."""
        return self._coordination.id

    def wake(self) -> None:
        """Say that files were added or deleted. Needs a running event loop."""
        self._news.set()
        self._idle.clear()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="indexer")

    async def text_of(self, filename: str, content: bytes) -> str:
        """Return the text of one file, which no store keeps. Raises `InvalidRequest`, `SandboxError`."""

        async def whole() -> AsyncGenerator[bytes, None]:
            yield content

        extraction = Extraction(self._open_sandbox, self._limit)
        try:
            async with aclosing(extraction.text(filename, whole())) as pieces:
                return "".join([piece async for piece in pieces])
        except UnreadableFile as error:
            raise InvalidRequest(error.why) from None
        finally:
            await asyncio.shield(extraction.aclose())

    async def settled(self) -> None:
        """Wait until no file waits."""
        await self._idle.wait()

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _work(self) -> None:
        while self._news.is_set():
            self._news.clear()
            try:
                await self._expire()
                for tenant in dict.fromkeys(row.tenant for row in await self._waiting()):
                    await self._index_all(tenant)
                await self._documents.tidy()
            except AgentKernelError as error:
                log.warning("Files could not be indexed: %s", error)
            except Exception:
                log.exception("Files could not be indexed.")
        self._idle.set()

    async def _waiting(self) -> list[StoredFileRow]:
        """Return the files that this process indexes: its own, and those of dead ones."""
        found = []
        for row in await self._documents.pending_files():
            mine = row.owner == self.owner
            if mine or row.owner is None or not await self._coordination.is_alive(row.owner):
                found.append(row)
        return found

    async def _expire(self) -> None:
        """Delete what expired vector stores hold."""
        now = time.time()
        for store in await self._documents.stores():
            end = expires_at(store)
            if end is not None and end <= now:
                for row in await self._documents.stored_files(store.id):
                    await self._documents.delete_stored_file(store.id, row.file_id)

    async def _index_all(self, tenant: str) -> None:
        """Index the waiting files of one tenant: files of different tenants never share a sandbox."""
        extraction = Extraction(self._open_sandbox, self._limit)
        try:
            while rows := [row for row in await self._waiting() if row.tenant == tenant]:
                for row in rows:
                    await self._index(row, extraction)
        finally:
            await asyncio.shield(extraction.aclose())

    async def _index(self, row: StoredFileRow, extraction: Extraction) -> None:
        if not await self._documents.adopt_file(row, self.owner):
            return
        row = StoredFileRow(**{**vars(row), "owner": self.owner})
        try:
            size = await self._write_chunks(row, extraction)
        except UnreadableFile as error:
            await self._documents.end_file(row, "failed", error=(error.code, error.why))
        except NotFound:
            await self._documents.end_file(row, "failed", error=("invalid_file", "The file was deleted."))
        except AgentKernelError as error:
            log.warning("The file %s could not be indexed: %s", row.file_id, error)
            await self._documents.end_file(row, "failed", error=("server_error", str(error)))
        except Exception as error:
            log.exception("The file %s could not be indexed.", row.file_id)
            why = f"Internal error ({type(error).__name__}). Details are in the server log."
            await self._documents.end_file(row, "failed", error=("server_error", why))
        else:
            model = self._embedder.name if self._embedder is not None else None
            await self._documents.end_file(row, "completed", usage_bytes=size, embedded_with=model)

    async def _write_chunks(self, row: StoredFileRow, extraction: Extraction) -> int:
        """Write the chunks of a file and return their size in bytes."""
        size, passages = 0, Passages()
        text = extraction.text(row.filename, self._blobs.get(row.file_id))
        chunks = chunks_of(text, Chunking(row.chunk_tokens, row.overlap_tokens))
        async with aclosing(text), aclosing(chunks), aclosing(_grouped(chunks)) as groups:
            async for texts in groups:
                vectors = await _vectors(self._embedder, passages, texts)
                if not await self._documents.add_chunks(row, texts, vectors):
                    break  # it was deleted or cancelled
                size += sum(len(each.encode()) for each in texts)
        return size

    async def _open_sandbox(self, stack: AsyncExitStack) -> Channel:
        """Make a sandbox without a network that the stack deletes."""
        backend = await self._engine()
        labels = {STORE_LABEL: await self._rows.identity(), OWNER_LABEL: process_name()}
        spec = SandboxSpec(f"documents-{secrets.token_hex(8)}", labels=labels, lease=LEASE)
        ref = await backend.create(spec)
        stack.push_async_callback(backend.delete, ref)
        channel = await Channel.open(await backend.stream(ref))
        stack.push_async_callback(channel.aclose)
        return channel


async def _vectors(
    embedder: Embedder | None, passages: Passages, texts: Sequence[str]
) -> Sequence[bytes] | None:
    """Return the vectors of each chunk's passages, joined. Chunks overlap: no passage is embedded twice."""
    if embedder is None:
        return None
    cut = [passages.of(text) for text in texts]
    distinct = list(dict.fromkeys(passage for each in cut for passage in each))
    known = dict(zip(distinct, await embedder.embed(distinct), strict=True))
    return [b"".join(known[passage] for passage in each) for each in cut]


async def _grouped(chunks: AsyncGenerator[str, None]) -> AsyncGenerator[Sequence[str], None]:
    group: list[str] = []
    async for chunk in chunks:
        group.append(chunk)
        if len(group) == TOGETHER:
            yield group
            group = []
    if group:
        yield group
