from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics.completion import Names, complete, completeness, magic_at
from agent_kernel.kernel.magics.matches import Match
from agent_kernel.kernel.magics.table import MAGICS, find


def texts(source: str, cursor: int, names: Names | None = None) -> tuple[list[str], int, int]:
    matches, start, end = complete(source, cursor, names)
    return [match.text for match in matches], start, end


def test_names_of_magics() -> None:
    assert complete("%up", 3)[0] == [Match("%upload", "line", MAGICS["upload"].summary)]
    assert complete("%help mod", 9)[0] == [Match("model", "line", MAGICS["model"].summary)]
    assert texts("%", 1) == ([f"%{name}" for name in MAGICS], 0, 1)
    assert texts("%files\n %up", 11) == (["%upload"], 8, 11)
    assert texts("prompt", 6)[0] == []


def test_paths_for_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("data/a.csv", "data/b c.csv", "dog.txt", ".hidden"):
        (tmp_path / name).touch()
    assert texts("%upload d", 9) == (["data/", "dog.txt"], 8, 9)
    assert texts("%upload x data/", 15) == (["data/a.csv", "data/b\\ c.csv"], 10, 15)
    assert texts("%upload .h", 10)[0] == [".hidden"]
    assert texts("%upload nowhere/", 16)[0] == []


def test_files_of_the_container_for_download() -> None:
    names = Names(files={"out/deep/d.csv": 3, "a.csv": 2048, "out/b c.csv": 1})
    assert complete("%download a", 11, names)[0] == [Match("a.csv", "file", "CSV, 2.0 kB")]
    assert texts("%download ", 10, names)[0] == ["--force", "a.csv", "out/"]
    assert texts("%download out/", 14, names) == (["out/b\\ c.csv", "out/deep/"], 10, 14)
    assert texts("%download a.csv --", 18, names) == (["--force"], 16, 18)
    assert texts("%files o", 8, names) == (["out/"], 7, 8)


def test_paths_after_an_at_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("data/a.csv", "data/b c.csv", ".hidden"):
        (tmp_path / name).write_text("a\n1\n2")
    (tmp_path / "data" / "old.csv").symlink_to("nowhere.csv")
    assert texts("Look at @da", 11) == (["@data/"], 8, 11)
    assert texts("Look at @data/", 14) == (["@data/a.csv", '@"data/b c.csv"', "@data/old.csv"], 8, 14)
    assert texts('Look at @"data/b', 16) == (['@"data/b c.csv"'], 8, 16)
    assert texts("one\ntwo @", 9) == (["@data/"], 8, 9)
    assert complete("@data/a", 7)[0] == [Match("@data/a.csv", "file", "CSV, 5 bytes")]
    assert complete("@da", 3)[0] == [Match("@data/", "folder", "folder")]
    assert complete("@data/o", 7)[0] == [Match("@data/old.csv", "file", "CSV")]
    assert texts("me@da", 5)[0] == []
    assert texts("!ls @da", 7)[0] == []


def test_uploaded_files_after_an_at_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = Names(received={"sales.csv", "my notes.txt"})
    assert complete("@s", 2, names)[0] == [Match("@sales.csv", "file", "CSV, in the container")]
    assert texts("@m", 2, names)[0] == ['@"my notes.txt"']


def test_words_of_magics() -> None:
    assert texts("%budget tokens=5 t", 18) == (["tokens=", "tool_calls="], 17, 18)
    assert texts("%%b", 3) == (["%%bash"], 0, 3)
    assert texts("%%bash --", 9) == (["--private"], 7, 9)
    assert texts("%nosuch x", 9)[0] == []


def test_models_for_model() -> None:
    names = Names(models=["scripted/demo", "openai/x"], model="openai/x")
    assert texts("%model s", 8, names) == (["scripted/demo"], 7, 8)
    assert complete("%model o", 8, names)[0] == [Match("openai/x", "model", "in use")]


def test_the_magic_under_the_cursor() -> None:
    assert magic_at("%files\n%upload a", 12) is MAGICS["upload"]
    assert magic_at("text %files", 8) is None
    assert magic_at("%%bash --private", 12) is MAGICS["%bash"]


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("hello", "complete"),
        ("%files", "complete"),
        ("!ls \\", "incomplete"),
        ("%nosuch", "invalid"),
        ("%%bash\nls", "incomplete"),
        ("%%bash\nls\n", "complete"),
        ("Why?\n```\nx", "incomplete"),
        ("Why?\n```\nx\n```", "complete"),
        ("%upload?", "complete"),
    ],
)
def test_completeness(source: str, status: str) -> None:
    assert completeness(source) == status


def test_an_unknown_magic_names_the_nearest_and_the_known() -> None:
    with pytest.raises(InvalidRequest) as raised:
        find("uplod")
    assert "There is no magic %uplod." in str(raised.value)
    assert "Did you mean %upload?" in str(raised.value)
    assert all(f"%{name}" in str(raised.value) for name in MAGICS)
