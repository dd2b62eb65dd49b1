"""Recall of file_search over docs/ beside plain FTS5, and what an index of many chunks costs.

    python -m benchmarks.file_search [--chunks 100000] [--vectors] [--json]

The sixty questions of tests/tools/file_search/questions.yaml, of which 28 share no content word with their
passage, are asked of docs/: a question counts if its passage is whole in one of five results. The rows are
plain FTS5, words, `local/ngrams`, and the embedding model of AGENT_KERNEL_EMBEDDINGS_URL and
AGENT_KERNEL_EMBEDDINGS where they are set. Each says how many of the thirty were found over which settings
are chosen, and of the thirty others. Then one file with that many chunks of 100 tokens is indexed; with
`--vectors` each gets a vector. Memory is the growth of this process; a search is the median of twenty. The
exit status is 1 if a row is below plain FTS5, the model is below 0.8, or memory grows by more than 200 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agent_kernel.models.embedding.configured import embedder
from agent_kernel.models.embedding.embedders import LOCAL, Embedder
from agent_kernel.store.sqlite.store import sqlite_store
from tests.tools.file_search.asked import CHOSEN, OTHERS
from tests.tools.file_search.library import Library

PLAIN = "plain FTS5"
RECALL, MEMORY = 0.8, 200 << 20
TOKENS = 100
WORDS = [
    f"{first}{second}" for first in ("sal", "tor", "mir", "ven", "kol") for second in map(str, range(4000))
]


def chosen() -> dict[str, Embedder | None]:
    """Return the embedding models to compare, by name."""
    found: dict[str, Embedder | None] = {"words": None, LOCAL: embedder(LOCAL, ("", ""), ("", ""))}
    url, name = os.environ.get("AGENT_KERNEL_EMBEDDINGS_URL"), os.environ.get("AGENT_KERNEL_EMBEDDINGS")
    if url and name:
        found[name] = embedder(name, (url, os.environ.get("AGENT_KERNEL_EMBEDDINGS_KEY", "")), ("", ""))
    return found


async def recalls() -> dict[str, list[bool]]:
    """Return for each way to search which questions it answers with five results."""
    found: dict[str, list[bool]] = {}
    for name, each in chosen().items():
        with tempfile.TemporaryDirectory() as folder:
            library = Library(sqlite_store(Path(folder)), each)
            try:
                await library.fill()
                found.setdefault(PLAIN, await library.plainly_answered())
                found[name] = await library.answered()
            finally:
                await library.runtime.aclose()
    return found


def row(answered: list[bool]) -> dict[str, float]:
    """Return the recall over all questions, and how many of each half were found."""
    halves = {"chosen": sum(answered[CHOSEN]), "others": sum(answered[OTHERS])}
    return {"recall": sum(answered) / len(answered), **halves}


def memory() -> tuple[int, int]:
    """Return the bytes that this process uses and has used at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return tuple(int(values[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


async def content(chunks: int) -> AsyncIterator[bytes]:
    """Yield a text of that many chunks: 400 bytes each."""
    chance = random.Random(1)
    for _ in range(0, chunks, 100):
        line = " ".join(chance.choices(WORDS, k=60))
        yield b"".join(f"{line} {chance.choice(WORDS)}".encode()[:399] + b"\n" for _ in range(100))


async def index(chunks: int, *, vectors: bool) -> dict[str, Any]:
    """Index a file and search it. Returns seconds and bytes."""
    model = embedder(LOCAL, ("", ""), ("", "")) if vectors else None
    with tempfile.TemporaryDirectory() as folder:
        library = Library(sqlite_store(Path(folder)), model)
        try:
            await library.start()
            before, start = memory()[0], time.perf_counter()
            static = {"max_chunk_size_tokens": TOKENS, "chunk_overlap_tokens": 0}
            strategy = {"type": "static", "static": static}
            await library.add({"many.txt": content(chunks)}, chunking_strategy=strategy)
            took, searches = time.perf_counter() - start, []
            for word in WORDS[:: len(WORDS) // 20]:
                start = time.perf_counter()
                await library.runtime.vector_stores.find(library.id, {"query": f"{word} {WORDS[7]}"})
                searches.append(time.perf_counter() - start)
        finally:
            await library.runtime.aclose()
    growth = memory()[1] - before
    return {"chunks": chunks, "index_s": took, "search_s": statistics.median(searches), "growth": growth}


def main() -> int:
    """Print both tables. Returns 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--vectors", action="store_true", help="index vectors as well")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    cost = asyncio.run(index(asked.chunks, vectors=asked.vectors))
    found = {name: row(each) for name, each in asyncio.run(recalls()).items()}
    if asked.json:
        print(json.dumps({"recall": found, **cost}))
    else:
        for name, each in found.items():
            halves = f"{each['chosen']} of 30 chosen over, {each['others']} of 30 others"
            print(f"recall at 5  {name:24} {each['recall']:.2f}  {halves}")
        indexed, search = cost["index_s"], cost["search_s"] * 1000
        print(f"{cost['chunks']:,} chunks: indexed in {indexed:.1f} s, a search {search:.0f} ms")
        print(f"memory grew by {cost['growth'] / 1e6:.0f} MB (limit {MEMORY >> 20} MiB)")
    recall = {name: each["recall"] for name, each in found.items()}
    models = [value for name, value in recall.items() if name not in (PLAIN, "words", LOCAL)]
    low = min(recall.values()) < recall[PLAIN] or any(value < RECALL for value in models)
    return int(low or cost["growth"] > MEMORY)


if __name__ == "__main__":
    sys.exit(main())
