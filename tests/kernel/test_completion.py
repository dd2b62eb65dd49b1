from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.completion import complete, completeness, magic_at
from agent_kernel.kernel.magics import MAGICS, find


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


def test_models_for_model() -> None:
    assert complete("%model s", 8, ["scripted/demo", "openai/x"]) == (["scripted/demo"], 7, 8)


def test_the_magic_under_the_cursor() -> None:
    assert magic_at("%files\n%upload a", 12) is MAGICS["upload"]
    assert magic_at("text %files", 8) is None


@pytest.mark.parametrize(
    ("source", "status"),
    [("hello", "complete"), ("%files", "complete"), ("!ls \\", "incomplete"), ("%nosuch", "invalid")],
)
def test_completeness(source: str, status: str) -> None:
    assert completeness(source) == status


def test_an_unknown_magic_names_the_nearest_and_the_known() -> None:
    with pytest.raises(InvalidRequest) as raised:
        find("uplod")
    assert "There is no magic %uplod." in str(raised.value)
    assert "Did you mean %upload?" in str(raised.value)
    assert all(f"%{name}" in str(raised.value) for name in MAGICS)
