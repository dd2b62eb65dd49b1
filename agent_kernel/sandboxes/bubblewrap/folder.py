"""A sandbox's folder on the host: the files that record it, written atomically."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from agent_kernel.errors import SandboxError, SandboxStartFailed
from agent_kernel.sandboxes.base import MANAGED_LABEL, SandboxRef, SandboxSpec, Status
from agent_kernel.sandboxes.bubblewrap.process import Started
from agent_kernel.sandboxes.bubblewrap.trees import remove_tree

NAME = "bubblewrap"

SPEC = "spec.json"
"""The file by which a sandbox is found. It is removed last: a sandbox with files left stays listed."""

FILES = "files"
"""The folder with everything that the sandbox writes to.

It is renamed before anything is removed, so that a checkpoint under way notices the removal."""


def note(path: Path, content: Mapping[str, object]) -> None:
    """Write a file atomically: others may read it at any moment, even if we are killed during the write."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.rename(path)


def unwritable(error: OSError) -> SandboxStartFailed:
    """Make the error for a disk that is full or read-only, or a folder that is not ours."""
    return SandboxStartFailed(
        f"The sandbox's files cannot be written: {error}.",
        hint="Make room there, or set AGENT_KERNEL_DATA_DIR to a folder that can be written to.",
    )


def labels_of(spec: SandboxSpec) -> dict[str, str]:
    """Return the labels of a sandbox: the requested ones and our mark."""
    return {**spec.labels, MANAGED_LABEL: "1"}


def find_sandbox(folder: Path) -> SandboxRef | None:
    """Return the sandbox of a folder; None if there is none, or if it is being removed at this moment."""
    try:
        labels = json.loads((folder / SPEC).read_text())["labels"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    process = find_process(folder)
    status: Status = "running" if process is not None and process.alive() else "dead"
    return SandboxRef(folder.name, NAME, status, labels)


def find_process(folder: Path) -> Started | None:
    """Return process 1 of a folder's sandbox; None if no start has recorded it."""
    try:
        return Started(**json.loads((folder / "process.json").read_text()))
    except FileNotFoundError:
        return None


def remove_folder(folder: Path) -> None:
    """Remove a sandbox's folder. Raises `SandboxError` that names what cannot be removed.

    The sandbox is still found then, as a dead one, so that the removal can be tried again.
    """
    problem: OSError | None = None
    try:
        with contextlib.suppress(FileNotFoundError):  # an earlier removal has renamed it
            (folder / FILES).rename(folder / f"{FILES}.removed")
        parts = [path for path in folder.iterdir() if path.name != SPEC]
    except FileNotFoundError:
        return
    except OSError as error:
        raise _not_removed(folder, error) from error
    for path in parts:
        try:
            remove_tree(path)
        except OSError as error:
            problem = problem or error
    try:
        if problem is not None:
            raise problem
        remove_tree(folder)
    except OSError as error:
        raise _not_removed(folder, error) from error


def _not_removed(folder: Path, error: OSError) -> SandboxError:
    return SandboxError(
        f"Some files of the sandbox {folder.name} could not be removed: {error}.",
        hint=f"Remove {folder} by hand.",
    )
