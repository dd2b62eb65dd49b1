"""The sizes of a sandbox's file systems in memory. Their files count against its memory limit.

Together they stay well below the limit, so filling all of them fails with "No space left on device" and does
not end the sandbox. They hold where the limit itself cannot be enforced.
"""

from __future__ import annotations

TMP = "/tmp"  # noqa: S108 (inside the sandbox)
RUN = "/run"
SHARED = "/dev/shm"  # noqa: S108 (inside the sandbox)

_MOST_RUN = 64 << 20


def sizes(memory: int) -> dict[str, int]:
    """Return the bytes of each for a memory limit. Data loaders share batches through `SHARED`."""
    return {TMP: memory // 4, SHARED: memory // 4, RUN: min(_MOST_RUN, memory // 8)}
