from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics.completion import Names, complete, completeness, magic_at
from agent_kernel.kernel.magics.table import MAGICS, find


def test_names_of_magics() -> None:
    assert complete("%", 1) == ([f"%{name}" for name in MAGICS], 0, 1)
    assert complete("%files\n %up", 11) == (["%upload"], 8, 11)
    assert complete("prompt", 6)[0] == []


def test_paths_for_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("data/a.csv", "data/b c.csv", "dog.txt", ".hidden"):
        (tmp_path / name).touch()
    assert complete("%upload d", 9) == (["data/", "dog.txt"], 8, 9)
    assert complete("%upload x data/", 15) == (["data/a.csv", "data/b\\ c.csv"], 10, 15)
    assert complete("%upload .h", 10)[0] == [".hidden"]
    assert complete("%upload nowhere/", 16)[0] == []


def test_files_of_the_container_for_download() -> None:
    names = Names(files=["a.csv", "out/b c.csv", "out/deep/d.csv"])
    assert complete("%download ", 10, names)[0] == ["--force", "a.csv", "out/"]
    assert complete("%download out/", 14, names) == (["out/b\\ c.csv", "out/deep/"], 10, 14)
    assert complete("%download a.csv --", 18, names) == (["--force"], 16, 18)
    assert complete("%files o", 8, names) == (["out/"], 7, 8)


def test_paths_after_an_at_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("data/a.csv", "data/b c.csv", ".hidden"):
        (tmp_path / name).touch()
    assert complete("Look at @da", 11) == (["@data/"], 8, 11)
    assert complete("Look at @data/", 14) == (["@data/a.csv", '@"data/b c.csv"'], 8, 14)
    assert complete('Look at @"data/b', 16) == (['@"data/b c.csv"'], 8, 16)
    assert complete("one\ntwo @", 9) == (["@data/"], 8, 9)
    assert complete("me@da", 5)[0] == []
    assert complete("!ls @da", 7)[0] == []


def test_words_of_magics() -> None:
    assert complete("%budget tokens=5 t", 18) == (["tokens=", "tool_calls="], 17, 18)
    assert complete("%%b", 3) == (["%%bash"], 0, 3)
    assert complete("%%bash --", 9) == (["--private"], 7, 9)
    assert complete("%nosuch x", 9)[0] == []


def test_models_for_model() -> None:
    assert complete("%model s", 8, Names(models=["scripted/demo", "openai/x"])) == (["scripted/demo"], 7, 8)


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
