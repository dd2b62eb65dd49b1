"""What an operation does to files: whole or not at all, and nothing outside of the workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.tools.apply_patch.inside.patch import LARGEST, carry_out
from agent_kernel.tools.apply_patch.inside.v4a import Conflict

TEXT = b"one\ntwo\nthree\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(TEXT)
    (root / "binary").write_bytes(b"\0\1")
    (root / "latin").write_bytes(b"caf\xe9\n")
    (tmp_path / "secret.txt").write_bytes(TEXT)
    (root / "link.txt").symlink_to("a.txt")
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to("sub")
    os.mkfifo(root / "pipe")
    return root


def tree(folder: Path) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = path.read_bytes() if path.is_file() and not path.is_symlink() else "other"
    return found


def update(path: str, diff: str = "-two\n+2\n", **more: Any) -> dict[str, Any]:
    return {"type": "update_file", "path": path, "diff": diff, **more}


def create(path: str, diff: str = "+x\n") -> dict[str, Any]:
    return {"type": "create_file", "path": path, "diff": diff}


def delete(path: str) -> dict[str, Any]:
    return {"type": "delete_file", "path": path}


ENVELOPE = "*** Begin Patch\n*** Update File: a.txt\n*** Move to: b.txt\n@@\n-two\n+2\n*** End Patch"

DONE = [
    (update("a.txt"), "Updated a.txt (+1 -1).", {"a.txt": b"one\n2\nthree\n"}),
    (update("ROOT/a.txt"), "Updated", {"a.txt": b"one\n2\nthree\n"}),
    (update("sub/../a.txt"), "Updated", {"a.txt": b"one\n2\nthree\n"}),
    (update("a.txt", move_to="sub/b.txt"), "Moved a.txt", {"a.txt": None, "sub/b.txt": b"one\n2\nthree\n"}),
    (update("a.txt", " one", move_to="b.txt"), "no line changed", {"a.txt": None, "b.txt": TEXT}),
    (update("a.txt", ENVELOPE), "Moved", {"a.txt": None, "b.txt": b"one\n2\nthree\n"}),
    (create("new/deep/n.txt"), "Created new/deep/n.txt (1 line).",
     {"new": "other", "new/deep": "other", "new/deep/n.txt": b"x"}),
    (create("in/n.txt"), "Created", {"sub/n.txt": b"x"}),
    (delete("a.txt"), "Deleted a.txt.", {"a.txt": None}),
    (delete("binary"), "Deleted", {"binary": None}),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "said", "changes"), DONE)
def test_operation_is_carried_out(root: Path, operation: Any, said: str, changes: Any) -> None:
    before = tree(root)
    operation = {**operation, "path": operation["path"].replace("ROOT", str(root))}
    assert said in carry_out(str(root), operation)
    after = {**before, **changes}
    assert tree(root) == {name: content for name, content in after.items() if content is not None}


REFUSED = [
    (update("a.txt", "-four\n+4"), "does not fit a.txt, which is unchanged"),
    (update("a.txt", "-two\n+2\n@@\n-missing\n+x"), "does not have these lines"),
    (update("a.txt", " one\n two"), "changes nothing"),
    (update("a.txt", ""), "changes nothing"),
    (update("none.txt"), "There is no file none.txt"),
    (update("a.txt/x"), "There is no file"),
    (update("sub"), "not a regular file"),
    (update("pipe"), "not a regular file"),
    (update("binary"), "not UTF-8 text"),
    (update("latin"), "not UTF-8 text"),
    (update("link.txt"), "is a link"),
    (update("a.txt", move_to="binary"), "exists already"),
    (update("a.txt", move_to="../moved.txt"), "outside"),
    (update("a.txt", "*** Update File: b.txt\n-two\n+2"), "one call for each file"),
    (create("a.txt"), "exists already"),
    (create("link.txt"), "is a link"),
    (create("new/bad.txt", "x"), "must begin with +"),
    (create("new/\0.txt"), "not a file's"),
    (create(""), "not a file's"),
    (delete("link.txt"), "is a link"),
    *[
        (operation(path), "outside")
        for operation in (update, create, delete)
        for path in ("../secret.txt", "out/secret.txt", "/etc/passwd", ".", "in/../../secret.txt")
    ],
]


@pytest.mark.parametrize(("operation", "said"), REFUSED)
def test_refused_operation_changes_nothing(root: Path, operation: Any, said: str) -> None:
    before = tree(root.parent)
    with pytest.raises(Conflict, match=said):
        carry_out(str(root), operation)
    assert tree(root.parent) == before


def test_mode_of_the_file_is_kept(root: Path) -> None:
    (root / "a.txt").chmod(0o755)
    carry_out(str(root), update("a.txt"))
    assert (root / "a.txt").stat().st_mode & 0o777 == 0o755


def test_large_file_is_refused(root: Path) -> None:
    with (root / "a.txt").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(Conflict, match="larger than"):
        carry_out(str(root), update("a.txt"))
