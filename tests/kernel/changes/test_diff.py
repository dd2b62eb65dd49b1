"""`%diff` in a real kernel: shown, written as a patch, safe with hostile names, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.changes.comparison import (
    MOST_CHANGES,
    MOST_DIFF,
    MOST_NOTES,
    _answer,
    understood,
)
from agent_kernel.kernel.changes.shown import area_bundle
from tests.kernel.client import Notebook

pytestmark = pytest.mark.bubblewrap

REPOSITORY = (
    "!!git init -q project && cd project && printf 'def half(n):\\n    return n / 3\\n' > code.py && "
    "git add -A && git -c user.name=Ada -c user.email=ada@example.org commit -qm First; cd /mnt/data"
)


def apply(folder: Path, patch: Path) -> None:
    done = subprocess.run(
        ["git", "apply", str(patch)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_uploads_and_new_files_are_shown(fresh: Notebook) -> None:
    (fresh.folder / "sales.csv").write_text("day,total\n1,5\n2,6\n")
    (fresh.folder / "note.txt").write_text("one\ntwo\n")
    fresh.run("%upload sales.csv note.txt")
    assert fresh.run("%diff").plain == ["Nothing has changed."]
    fresh.run("!echo 3,7 >> sales.csv; sed -i s/two/2/ note.txt; mkdir out; echo made > out/new.txt")
    shown = fresh.run("%diff")
    text = shown.plain[0]
    first = "`/mnt/data` since this notebook's container began: 3 files changed, 3 lines added, 1 removed."
    assert text.splitlines()[0] == first
    assert "2 → 3 rows, 2 columns; 1 row added" in text
    assert "note.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n" in text
    assert "```diff\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n```" in shown.final[0]["data"]["text/markdown"]
    assert "out/new.txt" not in fresh.run("%diff note.txt").plain[0]
    assert fresh.run("!ls -A").plain[-1].split() == ["note.txt", "out", "sales.csv"]
    (fresh.folder / "note.txt").write_text("three\n")
    fresh.run("%upload note.txt")  # it counts from now on
    assert "note.txt" not in fresh.run("%diff").plain[0]


def test_patch_is_written_once_and_applies(fresh: Notebook) -> None:
    mine = fresh.folder / "mine"
    (mine / "src").mkdir(parents=True)
    (mine / "src" / "a.py").write_text("a = 1\n")
    fresh.run("%upload mine/src")
    assert "nothing has changed that a patch could have" in fresh.run("%diff --patch").error
    fresh.run("!echo 'a = 2' > src/a.py; echo 'b = 1' > src/b.py")
    written = fresh.run("%diff --patch").plain
    assert written[0].startswith("Wrote `changes.patch` (")
    assert (
        written[1] == "To apply it in the folder of the files that you uploaded: `git apply changes.patch`."
    )
    patch = fresh.folder / "changes.patch"
    apply(mine, patch)
    assert [(mine / "src" / name).read_text() for name in ("a.py", "b.py")] == ["a = 2\n", "b = 1\n"]
    again = fresh.run("%diff --patch")
    assert "changes.patch already exists. Nothing was written." in again.error
    assert fresh.run("%diff --patch --force").reply["status"] == "ok"
    assert fresh.run("%diff --patch other.patch").reply["status"] == "ok"
    assert (fresh.folder / "other.patch").read_bytes() == patch.read_bytes()
    assert fresh.run("!ls -A").plain[-1].split() == ["src"]


def test_repository_comes_before_other_files(fresh: Notebook) -> None:
    assert fresh.run(REPOSITORY).reply["status"] == "ok"
    fresh.run("!sed -i s/3/2/ project/code.py; echo x > other.txt")
    first, second = fresh.run("%diff").plain
    assert "1 file changed, 1 line added, 1 removed." in first
    assert "-    return n / 3\n+    return n / 2" in first
    assert "other.txt" in second
    said = fresh.run("%diff --patch").plain
    assert said[1] == "To apply it in a clone of `project`: `git apply changes.patch`."
    assert said[2] == "Not in it: 1 other change. `%diff` shows everything."


def test_hostile_names_and_diffs_are_text(fresh: Notebook) -> None:
    name = "<img src=x onerror=alert(1)>[x](javascript:alert(1)).txt"
    fresh.run(
        f"!!printf '<script>a</script>\\n```\\n\\033[31m' > '{name}'; mkdir '</pre><b>'; touch '</pre><b>/x'"
    )
    data = fresh.run("%diff").final[0]["data"]
    assert not {"<img", "<script>", "</pre><b>"} & {
        word for word in ("<img", "<script>", "</pre><b>") if word in data["text/html"]
    }
    assert "````diff" in data["text/markdown"]
    assert "\x1b" not in json.dumps(data)


def test_denied_program_is_said(start: Callable[..., Notebook], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_APPROVAL", "never")
    notebook = start()
    (notebook.folder / "a.txt").write_text("a\n")
    notebook.run("%upload a.txt")
    assert "The operator's approval policy denies the program" in notebook.run("%diff").error
    assert "a.txt" in notebook.run("%files").plain[0]
    number = notebook.run("say hello", cell_id="c1").reply["execution_count"]
    assert "The operator's approval policy denies the program" in notebook.run(f"%diff --cell {number}").error


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", 126, "approval policy denies"),
        ("", 127, "needs python3 in the container, and there is none"),
        ("", None, "limits of memory and time"),
        ("Traceback", 1, "limits of memory and time"),
        ("[" * 100_000, 0, "limits of memory and time"),
        ('{"reason": "the earlier files could not be read: No space left on device"}', 0, "No space left"),
    ],
)
def test_reason_is_the_one_that_the_program_had(text: str, code: int | None, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        understood(text, code)


@pytest.mark.slow  # the same program as in the embedded sandbox
@pytest.mark.docker
def test_repository_is_compared_on_docker(
    start: Callable[..., Notebook], docker_engine: None, tmp_path: Path
) -> None:
    notebook = start("agent-docker")
    assert notebook.run(REPOSITORY).reply["status"] == "ok"
    notebook.run("!git clone -q project mine; sed -i s/3/2/ project/code.py")
    assert "-    return n / 3\n+    return n / 2" in notebook.run("%diff project").plain[0]
    assert notebook.run("%diff --patch").plain[0].startswith("Wrote `changes.patch` (")
    notebook.run("%upload changes.patch\n!cd mine && git apply ../changes.patch && git diff --stat")
    assert "1 file changed" in notebook.run("%diff mine").plain[0]


def area(**more: Any) -> dict[str, Any]:
    found = {"folder": "", "kind": "files", "base": "", "changes": [], "count": 0, "notes": []}
    return {"areas": [{**found, **more}], "notes": []}


CHANGE = {"path": "a", "change": "added", "added": 1, "removed": 0, "said": "", "diff": "@@\n+a\n"}


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"areas": {}, "notes": []},
        {"areas": [[]], "notes": []},
        area(changes=[{**CHANGE, "change": "<b>"}]),
        area(changes=[{**CHANGE, "added": "many"}]),
        area(count=None),
        area(notes=7),
    ],
)
def test_answer_of_another_form_is_refused(found: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="cannot be understood"):
        _answer(found, None)


def test_answer_is_bounded() -> None:
    long = {**CHANGE, "path": "p" * 1000, "said": "s" * 1000, "diff": "+d\n" * 10_000}
    found = area(changes=[long] * (MOST_CHANGES + 1), count=5000, notes=["n\nm" * 1000] * (MOST_NOTES + 1))
    (shown,) = _answer(found, None).areas
    assert (len(shown.changes), len(shown.notes)) == (MOST_CHANGES, MOST_NOTES)
    assert [len(text) for text in (shown.changes[0].path, shown.notes[0])] == [300, 300]
    assert len(shown.changes[0].diff) == MOST_DIFF
    assert "4,800 more files are not listed." in area_bundle(shown).data["text/plain"]
