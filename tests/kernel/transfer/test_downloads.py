"""`%download`: what is chosen, where it goes, and that nothing of the container's decides that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.render.files.file_tree import tree
from agent_kernel.kernel.transfer.downloads import Wish, plan

NAMES = ["a.csv", "out/b.csv", "out/deep/c.csv", "out/.hidden", ".profile", "my file.csv", "bad\nname.csv"]


class File:
    """What a container says of a file, as far as it is asked here."""

    def __init__(self, path: str) -> None:
        self.path, self.bytes = path, 5


FILES: dict[str, Any] = {f"/mnt/data/{name}": File(f"/mnt/data/{name}") for name in NAMES}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "there.csv").write_text("mine")
    return tmp_path


def paths(arguments: str) -> list[str]:
    return [str(each.path) for each in plan(Wish.read(arguments), FILES)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("a.csv", ["a.csv"]),
        ("/mnt/data/a.csv", ["a.csv"]),
        ("out/b.csv", ["b.csv"]),
        ("a.csv results", ["results/a.csv"]),
        ("a.csv new/", ["new/a.csv"]),
        ("a.csv new.csv", ["new.csv"]),
        ("'my file.csv'", ["my file.csv"]),
        ("out", ["b.csv", "deep/c.csv"]),
        ("out/*.csv results", ["results/b.csv"]),
        ("out/**/*.csv", ["b.csv", "deep/c.csv"]),
        ("a.csv there.csv --force", ["there.csv"]),
        (".profile", [".profile"]),
    ],
)
def test_where_files_go(arguments: str, expected: list[str]) -> None:
    assert paths(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "%download needs a file name"),
        ("a b c", "%download needs a file name"),
        ("'unclosed", "cannot be read"),
        ("a.csv --overwrite", "does not know --overwrite. Use --force."),
        ("b.csv", "There is no file b.csv in the container. Did you mean"),
        ("a.csv there.csv", "there.csv already exists. Nothing was downloaded. Add --force"),
        ("'bad\nname.csv'", "which is not safe to write here"),
        ("../../etc/passwd", "There is no file"),
    ],
)
def test_what_is_refused_and_why(arguments: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        paths(arguments)
    assert words in str(raised.value)


def test_nothing_is_written_through_a_link(folder: Path) -> None:
    (folder / "deep").symlink_to("/tmp")
    with pytest.raises(InvalidRequest, match="deep exists and is not a folder"):
        paths("out")
    (folder / "a.csv").symlink_to("/tmp/elsewhere")
    with pytest.raises(InvalidRequest, match=r"a\.csv exists and is not a plain file"):
        paths("a.csv --force")


def test_a_name_that_leads_out_is_not_followed() -> None:
    path = "/mnt/data/out/../../x"
    hostile: dict[str, Any] = {path: File(path)}
    for wanted in ("out", "**", "*/*/*/x"):
        with pytest.raises(InvalidRequest, match="There is no file"):
            plan(Wish.read(wanted), hostile)
    assert [str(each.path) for each in plan(Wish.read("out/../../x"), hostile)] == ["x"]


# -- %files ------------------------------------------------------------------------------------------------


def test_a_tree() -> None:
    shown = tree("/mnt/data", {"a.csv": 1500, "out/b.csv": 5, "out/deep/c\x1b[31m.csv": 7})
    assert shown.split("\n") == [
        "/mnt/data          3 files, 1.5 kB",
        "├── out/           2 files, 12 bytes",
        "│   ├── deep/      1 file, 7 bytes",
        "│   │   └── c.csv  7 bytes",
        "│   └── b.csv      5 bytes",
        "└── a.csv          1.5 kB",
    ]


def test_a_tree_of_many_files_is_bounded() -> None:
    shown = tree("/", {f"f{number}/g{n}": 1 for number in range(200) for n in range(100)}, complete=False)
    lines = shown.split("\n")
    assert len(lines) <= 202
    assert "… and 60 more" in shown
    assert lines[-2].startswith("… more; name a folder")
    assert lines[-1] == "… the newest files only"
