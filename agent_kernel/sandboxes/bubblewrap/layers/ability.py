"""Says in words what a checkpoint costs on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import tempfile
from pathlib import Path

from agent_kernel.sandboxes.bubblewrap.copying import CLONE
from agent_kernel.sandboxes.bubblewrap.layers.namespaces import (
    Entrance,
    LayersBusy,
    LayersUnavailable,
    Overlay,
)
from agent_kernel.sandboxes.bubblewrap.process import Started, isolation, started_at
from agent_kernel.sandboxes.bubblewrap.trees import remove_tree

_TARGET = "/mnt"


def cost_of_checkpoints(program: str, data_dir: Path) -> str:
    """Return a sentence (blocking). `program` is bwrap; what is made below `data_dir` is removed."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        top = Path(tempfile.mkdtemp(prefix="ability-", dir=data_dir))
        try:
            missing = _missing(program, top)
            clones = _clones(top)
        finally:
            remove_tree(top)
    except OSError as error:
        return f"Checkpoints are not possible: {error}."
    if missing is None:
        return "A checkpoint costs what has changed since the last one (overlay)."
    if clones:
        return f"A checkpoint clones each file without copying it (reflink; no overlay: {missing})."
    return f"A checkpoint copies all files (no overlay: {missing})."


def _missing(program: str, top: Path) -> str | None:
    """Put an overlay under a sandbox as a test, and return why that cannot be done."""
    for name in ("low/part", "up", "work", "place"):
        (top / name).mkdir(parents=True)
    info, theirs = os.pipe()
    arguments = [program, *isolation(), "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    arguments += ["--bind", str(top / "low" / "part"), _TARGET, "--info-fd", str(theirs), "--", "/bin/cat"]
    entrance, overlay = Entrance(), Overlay([top / "low"], top / "up", top / "work", top / "place")
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with os.fdopen(info, "rb") as reader:
        try:
            process = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=null, pass_fds=(theirs,))
        finally:
            os.close(theirs)
        with process:
            if process.stdin is None or process.stdout is None:
                return "bwrap does not start"
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(b"1")
                process.stdin.flush()
            if not process.stdout.read(1):  # cat prints it: everything is mounted
                return "bwrap does not start"
            pid = int(json.loads(reader.read())["child-pid"])
            lock = os.open(top, os.O_RDONLY | os.O_CLOEXEC)
            try:
                inside = Started(pid, started_at(pid) or 0)
                entrance.put(inside, overlay, {"part": _TARGET}, lock, check=False)
            except (LayersBusy, LayersUnavailable) as reason:
                return str(reason)
            finally:
                os.close(lock)
                entrance.close()
    return None


def _clones(top: Path) -> bool:
    """Return whether the file system can share the blocks of a file."""
    with open(top / "one", "w+b") as one, open(top / "two", "wb") as two:
        one.write(bytes(4096))
        one.flush()
        try:
            fcntl.ioctl(two.fileno(), CLONE, one.fileno())
        except OSError:
            return False
    return True
