"""boxd with its modules compiled in advance: compiling them takes a third of a sandbox's start.

This is for sandboxes that run the same Python as the host. Any other Python compiles the sources.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import py_compile
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agent_kernel.sandboxes.boxd import interactive
from agent_kernel.sandboxes.bubblewrap import apt, pip
from agent_kernel.sandboxes.launch import SOURCE


@functools.cache
def _read(source: Path) -> tuple[Mapping[str, bytes], str]:
    """Return the sources and the name of their compiled copy, read once: every start asks for them."""
    sources = {
        path.relative_to(source).as_posix(): path.read_bytes() for path in sorted(source.rglob("*.py"))
    }
    digest = hashlib.sha256(repr((importlib.util.MAGIC_NUMBER, sources, apt.PROGRAM, pip.PROGRAM)).encode())
    return sources, digest.hexdigest()[:16]


def compiled(root: Path) -> Path:
    """Return a folder below `root` with a compiled copy of this version of boxd, made if missing.

    Its folder `bin` has pip, and the stand-ins for programs that cannot work in a sandbox.
    """
    sources, name = _read(SOURCE)
    folder = root / name
    if folder.exists():
        return folder
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    building = Path(tempfile.mkdtemp(dir=root))
    try:
        for name, content in sources.items():
            path = building / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            # Unchecked: the folder's name says which sources they are of.
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(path), dfile=f"boxd/{name}", doraise=True, invalidation_mode=mode)
        interactive.install(str(building / "bin"))
        apt.install(building / "bin")
        pip.install(building / "bin")
        building.rename(folder)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise
    finally:
        if os.path.lexists(building):
            shutil.rmtree(building)
    return folder
