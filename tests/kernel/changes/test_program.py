"""The program behind `%diff`, on real folders and repositories; every patch goes through `git apply`."""

from __future__ import annotations

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_kernel.kernel.sandbox_scripts.diff import walk as walking
from agent_kernel.kernel.sandbox_scripts.diff.main import MOST_PRINTED, answer
from agent_kernel.kernel.sandbox_scripts.diff.unified import Deadline, FileState, file_diff
from agent_kernel.kernel.transfer.originals import MOST_OF_ONE, Copy, Originals

AUTHOR = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *AUTHOR, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit(folder: Path, words: str = "First") -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", words)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The workspace."""
    root = tmp_path / "data"
    root.mkdir()
    return root


@pytest.fixture
def project(root: Path) -> Path:
    """A repository in it, with one commit."""
    folder = root / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "code.py").write_text("one = 1\ntwo = 3\nthree = 3\n")
    (folder / "gone.txt").write_text("old\n")
    (folder / "prices.csv").write_text("name,price\nA,1\nB,2\n")
    (folder / "logo.bin").write_bytes(b"\0\1")
    (folder / ".gitignore").write_text("*.log\n")
    commit(folder)
    return folder


def asked(root: Path, before: dict[str, bytes] | None = None, **more: Any) -> dict[str, Any]:
    """Compare `root`; `before` are the files that were uploaded."""
    archive = None
    if before is not None:
        kept = Originals()
        for path, content in before.items():
            copy = Copy()
            copy.add(content)
            kept.keep(path, len(content), sha256(content).hexdigest(), copy.content)
        archive = root.parent / "before.zip"
        archive.write_bytes(kept.archive() or b"")
    options = {"root": str(root), "folder": "", "since": None, "began": None, "patch": None}
    text = answer({**options, "before": str(archive) if archive else None, **more})
    assert len(text) <= MOST_PRINTED
    return dict(json.loads(text))


def told(area: dict[str, Any]) -> dict[str, tuple[str, int | None, int | None, str]]:
    return {
        each["path"]: (each["change"], each["added"], each["removed"], each["said"])
        for each in area["changes"]
    }


def change(project: Path) -> None:
    """Every kind of change."""
    (project / "code.py").write_text("one = 1\ntwo = 2\nthree = 3\n")
    (project / "gone.txt").unlink()
    (project / "prices.csv").write_text("name,price\nA,1\nB,3\nC,4\n")
    (project / "logo.bin").write_bytes(b"\0\1\2")
    (project / "näw file.txt").write_text("no newline")
    (project / "link").symlink_to("code.py")
    (project / "run.sh").write_text("echo\n")
    (project / "run.sh").chmod(0o755)
    (project / "debug.log").write_text("ignored\n")
    (project / ".agent-kernel-diff-x.zip").write_text("ours")


def test_repository_is_compared_and_left_as_it_is(root: Path, project: Path) -> None:
    change(project)
    git(project, "add", "run.sh")
    before = git(project, "status", "--porcelain"), sorted(os.listdir(project / ".git" / "objects"))
    (area,) = asked(root)["areas"]
    assert (area["folder"], area["kind"], area["count"]) == ("project", "repository", 7)
    assert area["base"].startswith("HEAD, ")
    assert area["base"].endswith(" First")
    assert told(area) == {
        "code.py": ("changed", 1, 1, ""),
        "gone.txt": ("removed", 0, 1, ""),
        "link": ("added", 1, 0, ""),
        "logo.bin": ("changed", None, None, "binary, 2 bytes → 3 bytes"),
        "näw file.txt": ("added", 1, 0, ""),
        "prices.csv": ("changed", 2, 1, "2 → 3 rows, 2 columns; 1 row changed, 1 row added"),
        "run.sh": ("added", 1, 0, ""),
    }
    assert area["changes"][0]["diff"] == "@@ -1,3 +1,3 @@\n one = 1\n-two = 3\n+two = 2\n three = 3\n"
    after = git(project, "status", "--porcelain"), sorted(os.listdir(project / ".git" / "objects"))
    assert after == before


def test_change_within_the_second_of_the_commit_is_found(root: Path, project: Path) -> None:
    """git compares whole seconds: the index's own time says which files it has to read."""
    code, index = project / "code.py", project / ".git" / "index"
    git(project, "config", "core.trustctime", "false")
    second = (int(code.stat().st_mtime) - 10,) * 2
    os.utime(code, second)
    git(project, "update-index", "--refresh")
    code.write_text(code.read_text().replace("3", "9"))
    for each in (code, index):
        os.utime(each, second)
    (area,) = asked(root)["areas"]
    assert [each["path"] for each in area["changes"]] == ["code.py"]


def test_patch_of_a_repository_applies_to_a_clone(root: Path, project: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(project), "clone")
    change(project)
    (root / "outside.txt").write_text("x\n")
    patch = tmp_path / "changes.patch"
    written = asked(root, patch=str(patch))["patch"]
    assert (written["folder"], written["files"], written["elsewhere"]) == ("project", 7, 1)
    clone = tmp_path / "clone"
    git(clone, "apply", "--index", str(patch))
    for name in ("code.py", "prices.csv", "logo.bin", "näw file.txt", "link"):
        assert (clone / name).read_bytes() == (project / name).read_bytes()
    assert os.readlink(clone / "link") == "code.py"
    assert (clone / "run.sh").stat().st_mode & 0o100
    assert not (clone / "gone.txt").exists()


def test_settings_of_a_repository_run_nothing(root: Path, project: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "core.pager", "diff.evil.command", "diff.evil.textconv"):
        git(project, "config", name, str(trap))
    git(project, "config", "color.ui", "always")
    git(project, "config", "diff.noprefix", "true")
    (project / ".git" / "info" / "attributes").write_text("* diff=evil\n")
    (project / "code.py").write_text("one = 1\n")
    patch = tmp_path / "changes.patch"
    asked(root, patch=str(patch))
    assert patch.read_text().startswith("diff --git a/code.py b/code.py\n")
    assert not (tmp_path / "sprung").exists()


def test_commits_are_said_and_compared_on_request(root: Path, project: Path, tmp_path: Path) -> None:
    clone = root / "clone"
    git(root, "clone", "-q", str(project), "clone")
    (clone / "code.py").write_text("one = 1\n")
    commit(clone, "Fix")
    (area,) = asked(root, folder="clone")["areas"]
    assert area["count"] == 0
    words = "HEAD is 1 commit ahead of origin/main; --since origin/main includes them"
    assert area["notes"] == [words]
    (area,) = asked(root, folder="clone", since="origin/main")["areas"]
    assert told(area) == {"code.py": ("changed", 0, 2, "")}
    assert "it has no commit nosuch" in asked(root, folder="clone", since="nosuch")["notes"][0]


def test_repository_without_a_commit_is_all_new(root: Path) -> None:
    git(root, "init", "-q")
    (root / "a.txt").write_text("a\n")
    (root / "large.bin").write_bytes(bytes(6 << 20))
    (area,) = asked(root)["areas"]
    assert (area["folder"], area["base"]) == ("", "no commit yet")
    assert told(area) == {"a.txt": ("added", 1, 0, "")}
    assert area["notes"] == ["Too large to compare: large.bin (6.3 MB)"]


def test_folder_narrows_the_comparison(root: Path, project: Path) -> None:
    (project / "src").mkdir()
    (project / "src" / "a.py").write_text("a\n")
    (project / "code.py").write_text("")
    (root / "out").mkdir()
    (root / "out" / "b.txt").write_text("b\n")
    for folder, names in (
        ("project/src", ["src/a.py"]),
        ("out", ["out/b.txt"]),
        ("project/code.py", ["code.py"]),
    ):
        (area,) = asked(root, folder=folder)["areas"]
        assert [each["path"] for each in area["changes"]] == names
    assert asked(root, folder="none") == {"reason": "there is no none in the container"}


def test_several_repositories_need_a_name(root: Path, project: Path, tmp_path: Path) -> None:
    git(root, "clone", "-q", str(project), "other")
    for name in ("other", "project"):
        (root / name / "new.txt").write_text("new\n")
    patch = tmp_path / "changes.patch"
    reason = asked(root, patch=str(patch))["reason"]
    assert reason == "several repositories have changes (other, project); name one"
    assert asked(root, folder="other", patch=str(patch))["patch"]["folder"] == "other"


def test_uploads_are_compared_with_what_arrived(root: Path, tmp_path: Path) -> None:
    before = {
        "same.txt": b"same\n",
        "note.txt": b"a\r\nb\r\n",
        "sales.csv": b"day,total\n1,5\n2,6\n3,7\n",
        "gone.csv": b"a;b\n1;2\n",
        "photo.png": b"\x89PNG\0",
        "huge.txt": b"x" * (MOST_OF_ONE + 1),
    }
    for name, content in before.items():
        (root / name).write_bytes(content)
    (root / "gone.csv").unlink()
    (root / "note.txt").write_bytes(b"a\r\nc\r\n")
    (root / "sales.csv").write_bytes(b"day,total,tax\n2,6,1\n3,7,1\n")
    (root / "photo.png").write_bytes(b"\x89PNG\0\0")
    (root / "huge.txt").write_text("y" * (MOST_OF_ONE + 1))
    (root / "out").mkdir()
    (root / "out" / "result.json").write_text("{}")
    for name in (".hidden", "__pycache__/x.pyc", "venv/pyvenv.cfg", "venv/lib/x.py"):
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text("")
    (area,) = asked(root, before)["areas"]
    assert told(area) == {
        "gone.csv": ("removed", 0, 2, "1 row × 2 columns"),
        "huge.txt": ("changed", None, None, "1.0 MB; its content from before was not kept"),
        "note.txt": ("changed", 1, 1, ""),
        "out/result.json": ("added", 1, 0, ""),
        "photo.png": ("changed", None, None, "binary, 5 bytes → 6 bytes"),
        "sales.csv": ("changed", 3, 4, "3 → 2 rows, 2 → 3 columns; column new: tax"),
    }
    assert area["notes"] == [
        "A patch has only text: huge.txt, photo.png cannot be in it",
        "Not compared: 1 × __pycache__, 1 × hidden, 1 × virtual environment",
    ]
    target = tmp_path / "mine"
    target.mkdir()
    for name, content in before.items():
        (target / name).write_bytes(content)
    patch = tmp_path / "changes.patch"
    asked(root, before, patch=str(patch))
    git(target, "apply", str(patch))
    for name in ("note.txt", "sales.csv", "out/result.json", "same.txt"):
        assert (target / name).read_bytes() == (root / name).read_bytes()
    assert not (target / "gone.csv").exists()


def test_files_of_a_volume_count_if_they_changed(root: Path) -> None:
    (root / "old.txt").write_text("old")
    now = int((root / "old.txt").stat().st_ctime) + 1
    assert asked(root, began=now)["areas"][0]["count"] == 0
    assert told(asked(root, began=now - 1)["areas"][0]) == {"old.txt": ("added", 1, 0, "")}


def test_many_and_long_files_keep_the_answer_short(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "many").mkdir()
    for number in range(30):
        (root / "many" / f"{number}.txt").write_text("x\n")
        (root / f"{'n' * 200}{number}.txt").write_text("é" * 900 + "\n")
    (root / "lines.txt").write_text("x\n" * 1000)
    (area,) = asked(root)["areas"]
    changes = {each["path"]: each for each in area["changes"]}
    assert changes["many/"]["said"] == "30 files, 60 bytes"
    assert area["count"] == 32
    assert changes["lines.txt"]["diff"].endswith("[881 more lines]\n") or not changes["lines.txt"]["diff"]
    monkeypatch.setattr(walking, "MOST", 10)
    assert asked(root)["notes"] == ["There are too many files: the rest was not looked at"]


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"\n", b"c\r\n", b"\xff\n"]), max_size=12)
STATES = st.none() | st.builds(
    lambda lines, end, mode: FileState(b"".join(lines) + end, mode),
    LINES,
    st.sampled_from([b"", b"end"]),
    st.sampled_from([0o100644, 0o100755]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=STATES, after=STATES, name=st.sampled_from(["a", "a b", 'q"\\', "\tß\n"]))
def test_any_change_is_a_patch_that_git_applies(
    tmp_path: Path, before: FileState | None, after: FileState | None, name: str
) -> None:
    """Also what git itself would write: an empty file, a change of mode alone, no newline at the end."""
    found = file_diff(name, before, after, Deadline())
    path = tmp_path / name
    path.unlink(missing_ok=True)
    if before is not None:
        path.write_bytes(before.data)
        path.chmod(before.mode & 0o777)
    (tmp_path / "p.patch").write_bytes(found.patch)
    same = (before is None and after is None) or (
        before is not None and after is not None and (before.data, before.mode) == (after.data, after.mode)
    )
    if not same:
        git(tmp_path, "apply", "p.patch")
    assert path.exists() == (after is not None)
    if after is not None:
        assert path.read_bytes() == after.data
        assert bool(path.stat().st_mode & 0o100) == (after.mode == 0o100755)
