"""What a sandbox takes of this machine's memory."""

from __future__ import annotations

from pathlib import Path


def of_sandbox(root: int) -> int:
    """Bytes (shared pages by share) of a sandbox: its process 1, all below, and what holds it on the host.

    What holds several sandboxes counts by share too.
    """
    parent = int(_fields(root)[1])
    holder = _proportional(parent) // len(_children(parent)) if parent > 1 else 0
    return holder + sum(_proportional(pid) for pid in [root, *_descendants(root)])


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _descendants(pid: int) -> list[int]:
    return [each for child in _children(pid) for each in (child, *_descendants(child))]


def _proportional(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
