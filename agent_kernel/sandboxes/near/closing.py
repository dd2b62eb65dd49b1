"""Close descriptors that came from a sandbox."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

_THREADS = 16


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="close")


def close_apart(fd: int) -> None:
    """Close a descriptor in a thread: the sandbox can make the last close of a socket wait (SO_LINGER)."""
    _threads().submit(os.close, fd)
