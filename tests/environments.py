"""Environments of other people's packages: each made once from its lock, in the cache, by uv.

pip takes minutes for the larger ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.clients.cache import folder_for, installed

TIMEOUT = 600


class EnvironmentMissing(Exception):
    """The environment could not be made; the message says why."""


def environment(name: str, lock: Path) -> Path:
    """Return the folder of the environment, making it unless the cache has this lock's.

    Raises `EnvironmentMissing`.
    """
    folder = folder_for(name, lock)
    installed(folder, lambda: make(folder, lock))
    return folder


def make(folder: Path, lock: Path) -> None:
    """Make an environment in the folder with exactly what the lock names. Raises `EnvironmentMissing`."""
    uv = [sys.executable, "-m", "uv"]
    run(*uv, "venv", "--quiet", "--python", sys.executable, str(folder))
    install = [*uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    run(*install, "--python", str(folder / "bin" / "python"), "-r", str(lock))


def run(*command: str) -> None:
    """Run one step of an installation. Raises `EnvironmentMissing` with the end of its output if it fails."""
    try:
        done = subprocess.run(command, env=_with_index(), capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as why:
        raise EnvironmentMissing(str(why)) from None
    if done.returncode:
        raise EnvironmentMissing(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")


@cache
def _with_index() -> dict[str, str]:
    """Return the variables with which uv takes the package index of pip's settings, if they name one."""
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=TIMEOUT).stdout.strip()
    index = os.environ.get("PIP_INDEX_URL") or found
    return {**({"UV_DEFAULT_INDEX": index} if index else {}), **os.environ}
