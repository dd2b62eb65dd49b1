"""A folder outside the checkout for what other people's clients need: installed once per lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

ROOT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agent-kernel" / "tests"


def folder_for(name: str, *locks: Path) -> Path:
    """Return the folder for the packages of these locks. Its name holds their hash."""
    content = b"".join(lock.read_bytes() for lock in locks)
    return ROOT / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"


def installed(folder: Path, install: Callable[[], None]) -> None:
    """Call `install` to fill the folder unless it is complete. Concurrent runs take turns.

    An installation that raised or was killed starts again from an empty folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / ".installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install()
            (folder / ".installed").touch()
