"""Seeded operations on files, by our applier and by an editor around that of the Agents SDK.

Where the SDK's applier accepts a diff and an editor may write, the bytes are the same. Everything else is
refused with a sentence, and no file has changed.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from agents.apply_diff import apply_diff

from agent_kernel.tools.apply_patch.inside.patch import carry_out
from agent_kernel.tools.apply_patch.inside.v4a import Conflict

WORDS = ["def f():", "    return 1", "", "    x = [", "\t# ä", "    ]", "end  ", "}"]
ODD = [
    "link.txt",
    "out/secret.txt",
    "../secret.txt",
    "bytes.bin",
    "latin.txt",
    "folder",
    "missing.txt",
    "pipe/x",
]


def workspace(root: Path, chosen: random.Random) -> list[str]:
    """Write files with both line ends, some without the last one, and places where no patch may write."""
    (root / "data" / "folder").mkdir(parents=True)
    (root / "secret.txt").write_bytes(b"end\n")
    data = root / "data"
    (data / "bytes.bin").write_bytes(b"end\n\0")
    (data / "latin.txt").write_bytes(b"end\n\xe9\n")
    (data / "link.txt").symlink_to("../secret.txt")
    (data / "out").symlink_to("..")
    names = [f"file{number}.txt" for number in range(4)]
    for name in names:
        newline = chosen.choice(["\n", "\n", "\r\n"])
        lines = chosen.choices(WORDS, k=chosen.randint(0, 12))
        (data / name).write_bytes((newline.join(lines) + chosen.choice(["", newline])).encode())
    return names


def diff_for(text: str, chosen: random.Random) -> str:
    """Return a diff of a few changes: context is repeated, moved, or has other white space at times."""
    lines, parts, place = text.replace("\r\n", "\n").split("\n"), [], 0
    for _ in range(chosen.randint(1, 3)):
        if place >= len(lines):
            break
        first = chosen.randint(place, len(lines) - 1)
        last = min(len(lines), first + chosen.randint(1, 4))
        parts += [chosen.choice(["@@", f"@@ {chosen.choice(lines)}"])]
        for line in lines[first:last]:
            kept = f" {chosen.choice([line, line, line.rstrip(), line.strip()])}"
            parts += chosen.choice([[kept], [kept], [f"-{line}"], [f"-{line}", f"+{line}!"], [kept, "+new"]])
        place = chosen.choice([last, last, 0])
    if chosen.random() < 0.2:
        parts.append("*** End of File")
    return chosen.choice(["\n", "\n", "\r\n"]).join(parts) + chosen.choice(["", "\n"])


def operation_for(root: Path, names: list[str], chosen: random.Random) -> dict[str, Any]:
    path = chosen.choice([*names, *names, *ODD])
    kind = chosen.choice(["update_file"] * 6 + ["create_file", "delete_file"])
    place = root / "data" / path
    readable = kind == "update_file" and path in names and place.is_file()
    text = place.read_bytes().decode() if readable else "end\n"
    diff = "+a\n+ä" if kind == "create_file" else diff_for(text, chosen)
    made = {"type": kind, "path": path, "diff": diff}
    if kind == "update_file" and chosen.random() < 0.25:
        made["move_to"] = chosen.choice([*names, *ODD, "new/place.txt", "new.txt"])
    return made


def edited(root: Path, operation: dict[str, Any]) -> None:
    """Do it as a careful editor around the SDK's applier does. Raises `ValueError`."""
    place = allowed(root, operation["path"])
    if operation["type"] == "create_file":
        if place.exists():
            raise ValueError("It exists.")
        text = apply_diff("", operation["diff"], "create")
    elif not place.is_file():
        raise ValueError("It is no file.")
    elif operation["type"] == "delete_file":
        place.unlink()
        return
    else:
        old = place.read_bytes().decode()
        text = apply_diff(old, operation["diff"])
        if "\0" in old or (text == old and not operation.get("move_to")):
            raise ValueError("It is binary, or the diff changes nothing.")
    to = allowed(root, operation["move_to"]) if operation.get("move_to") else place
    if to != place and to.exists():
        raise ValueError("It exists.")
    if text == (place.read_bytes().decode() if place.exists() else None) and to == place:
        raise ValueError("It changes nothing.")
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(text.encode())
    if to != place:
        place.unlink()


def allowed(root: Path, path: str) -> Path:
    place = root / "data" / path
    outside = not place.resolve().is_relative_to((root / "data").resolve())
    if outside or place.is_symlink():
        raise ValueError("Not there.")
    return place


def files(root: Path) -> dict[str, bytes]:
    return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))])
def test_operations_leave_the_files_of_the_agents_sdk(seed: int, tmp_path: Path) -> None:
    chosen = random.Random(seed)
    outcomes = {"done": 0, "refused": 0}
    for number in range(12):
        ours, theirs = tmp_path / f"ours{number}", tmp_path / f"theirs{number}"
        names = workspace(ours, chosen)
        shutil.copytree(ours, theirs, symlinks=True)
        for _ in range(12):
            operation = operation_for(ours, names, chosen)
            before = files(ours)
            try:
                edited(theirs, operation)
            except (ValueError, OSError):
                with pytest.raises((Conflict, OSError)) as caught:
                    carry_out(str(ours / "data"), operation)
                assert str(caught.value).strip()
                assert files(ours) == before, operation
                outcomes["refused"] += 1
            else:
                assert carry_out(str(ours / "data"), operation)
                outcomes["done"] += 1
            assert files(ours) == files(theirs), operation
    assert min(outcomes.values()) > 20
