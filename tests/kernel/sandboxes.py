"""The sandbox of a notebook, seen and killed from outside."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from tests.kernel.client import Notebook


def container_of(notebook: Notebook) -> str:
    return next(word for word in notebook.run("%container").plain[0].split() if word.startswith("cntr_"))


def kill_sandbox(container_id: str) -> None:
    """Kill every process of a sandbox at one moment, as an operator or the kernel's memory killer would."""
    processes = processes_of(container_id)
    for act in (psutil.Process.suspend, psutil.Process.kill):  # or a shell goes on when its command is killed
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                act(process)


def processes_of(container_id: str) -> list[psutil.Process]:
    """Every process of a sandbox, seen from the host."""
    named = [
        process
        for process in psutil.process_iter(["cmdline"])
        if container_id in " ".join(process.info["cmdline"] or []) or _mounts(process, container_id)
    ]
    assert named
    return list({*named, *(child for process in named for child in process.children(recursive=True))})


def _mounts(process: psutil.Process, container_id: str) -> bool:
    """Whether a process sees the files of a sandbox as its own: a fork's command line does not name it."""
    try:
        mounts = Path(f"/proc/{process.pid}/mountinfo").read_text()
    except OSError:  # it has ended
        return False
    return f"/sandboxes/{container_id}/" in mounts
