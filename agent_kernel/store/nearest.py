"""How near chunks are to a vector: as near as the nearest of their passages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent_kernel.errors import ConfigurationError

Embedded = tuple[int, int, bytes | None]
"""A chunk, its file, and the vectors of its passages, joined."""


def nearest(rows: Sequence[Embedded], vector: bytes) -> Iterator[tuple[float, int, int]]:
    """Yield the cosine of each chunk's nearest passage, with the chunk and its file.

    Chunks without vectors of this size are left out. Raises `ConfigurationError` without numpy.
    """
    try:
        import numpy as np
    except ImportError:
        raise ConfigurationError(
            "Search by vectors needs numpy, which is not installed.",
            hint="Run: pip install 'jupyter-agent-kernel[files]'",
        ) from None
    size = len(vector)
    usable = [(chunk, file, joined) for chunk, file, joined in rows if joined and len(joined) % size == 0]
    if not usable:
        return
    table = np.frombuffer(b"".join(joined for *_, joined in usable), dtype="<f2").reshape(-1, size // 2)
    scores = table.astype(np.float32) @ np.frombuffer(vector, dtype="<f2").astype(np.float32)
    passages = np.array([len(joined) // size for *_, joined in usable])
    best = np.maximum.reduceat(scores, np.cumsum(passages) - passages)
    for (chunk, file, _), score in zip(usable, best.tolist(), strict=True):
        yield score, chunk, file
