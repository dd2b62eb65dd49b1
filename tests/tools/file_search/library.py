"""The documentation of this project in a vector store, and how many questions about it find their passage."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from agent_kernel.models.catalogue import Models
from agent_kernel.models.embedding.embedders import Embedder
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.store.base import Store
from tests.tools.file_search.asked import ROOT, plain, questions

DOCS = sorted((ROOT / "docs").rglob("*.md"))


class Library:
    """A vector store of a runtime without a server or a sandbox: it can hold plain text and Markdown."""

    def __init__(self, store: Store, embedder: Embedder | None) -> None:
        async def no_backend() -> Any:
            raise AssertionError("plain text needs no sandbox")

        models = Models(upstream_url=None, upstream_key=None, default="scripted/demo")
        parts = RuntimeParts(models=models, backend=no_backend, store=store, embedder=embedder)
        self.runtime = LocalRuntime(parts)
        self.store = store
        self.id = ""

    async def start(self) -> None:
        """Start the runtime and make the vector store."""
        await self.runtime.start()
        self.id = (await self.runtime.vector_stores.create({"name": "docs"})).id

    async def add(self, contents: dict[str, AsyncIterator[bytes]], **settings: Any) -> None:
        """Add files by name, and return when all of them are indexed."""
        files = []
        for name, content in contents.items():
            form = {"purpose": "assistants"}
            made = await self.runtime.files.create(filename=name, content=content, form=form)
            files.append({"file_id": made.id, **settings})
        batch = await self.runtime.vector_stores.file_batches.create(self.id, {"files": files})
        while batch.file_counts.in_progress > 0:
            await asyncio.sleep(0.05)
            batch = await self.runtime.vector_stores.file_batches.retrieve(self.id, batch.id)
        assert batch.file_counts.completed == len(files)

    async def fill(self) -> None:
        """Start with all of docs/."""
        await self.start()
        await self.add({path.name: _once(path.read_bytes()) for path in DOCS})

    async def answered(self) -> list[bool]:
        """Return for each question whether its passage is whole in one of five results."""
        found = []
        for each in questions():
            params = {"query": each.question, "max_num_results": 5}
            results = await self.runtime.vector_stores.find(self.id, params)
            found.append(any(plain(each.passage) in plain(result.content[0].text) for result in results))
        return found

    async def plainly_answered(self) -> list[bool]:
        """Return the same for FTS5 alone: all words of a question, in the order of bm25."""
        assert self.store.documents is not None
        found = []
        for each in questions():
            words = list(dict.fromkeys(re.findall(r"\w+", each.question.lower())))
            results = await self.store.documents.find_words(self.id, words, None, 5)
            found.append(any(plain(each.passage) in plain(hit.text) for hit in results))
        return found


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
