"""What `@` in a prompt means: a file where there is one, names with spaces included, and text elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.transfer.mentions import mentions, resolve, unfound


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "Sales Report 2024.csv", "Sales", "my file.csv", "it's.csv", "a.csv", "data/q 1/x y.csv", "50%.txt",
        "f(x).csv", "price $5.csv",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n1\n")
    return tmp_path


def found(prompt: str) -> list[str]:
    return [str(path) for path in map(resolve, mentions(prompt)) if path is not None]


@pytest.mark.parametrize(
    ("prompt", "files"),
    [
        ("Look at @Sales Report 2024.csv, please.", ["Sales Report 2024.csv"]),
        ("@Sales Report 2024.csv", ["Sales Report 2024.csv"]),
        ("Is @Sales Report 2024.csv? And @a.csv!", ["Sales Report 2024.csv", "a.csv"]),
        ("@Sales is a file too", ["Sales"]),
        ("@'my file.csv' and @my\\ file.csv", ["my file.csv", "my file.csv"]),
        ('@"my file.csv" and @my file.csv now', ["my file.csv", "my file.csv"]),
        ("see (@data/q 1/x y.csv)", ["data/q 1/x y.csv"]),
        ("@50%.txt", ["50%.txt"]),
        ("plot @f(x).csv", ["f(x).csv"]),
        ("for @price $5.csv each", ["price $5.csv"]),
        ("first @a.csv\nReport 2024.csv", ["a.csv"]),
    ],
)
def test_longest_name_of_a_file_is_meant(folder: Path, prompt: str, files: list[str]) -> None:
    assert found(prompt) == files


@pytest.mark.parametrize(
    "prompt",
    [
        "Why does @app.get('/items') return 404?",
        "12 boxes @$3.50/box",
        "@pytest.mark.parametrize('x', [1/2])",
        "install @babel/core and @types/node",
        'use @Route(path="/x/y.json")',
        "mail ann@example.org/x.csv",
        "3 @ 4/5",
        "@dataclass(frozen=True)",
        "a `@a.csv` in code",
        "written \\@a.csv",
        "@everyone/all",
    ],
)
def test_code_prices_and_scopes_are_text(folder: Path, prompt: str) -> None:
    assert found(prompt) == []


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        ("@missing.csv", "missing.csv"),
        ("@data/missing", "data/missing"),
        ("@./nowhere", "nowhere"),
        ("@'no such.csv'", "no such.csv"),
        ("@/nowhere/at/all", "/nowhere"),
    ],
)
def test_missing_file_is_an_error_with_a_way_out(folder: Path, prompt: str, word: str) -> None:
    with pytest.raises(InvalidRequest, match=r"There is no|no file") as refused:
        found(prompt)
    assert word in refused.value.message
    assert "backticks" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("prompt", "meant"),
    [
        ("sum @Sale Report 2025.csv, please", "@'Sales Report 2024.csv'"),
        ("@sales report 2024.csv", "@'Sales Report 2024.csv'"),
        ("@data/q 1/x z.csv.", "@'data/q 1/x y.csv'"),
        ("@My Files.csv and more", "@'my file.csv'"),
        ("@it s.csv", '@"it\'s.csv"'),
    ],
)
def test_missing_name_with_spaces_names_near_files(folder: Path, prompt: str, meant: str) -> None:
    with pytest.raises(InvalidRequest, match="There is no file") as refused:
        found(prompt)
    assert meant in (refused.value.hint or "")
    assert "write \\@" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("sum @Annual Accounts 1999.xlsx, please", ["Annual Accounts 1999.xlsx"]),
        ("@ann look at a.csv and b.csv", []),
        ("@ann look at my file.csv", []),
        ("@ann said that one should not look there: a.csv", []),
        ("@app.route returns JSON, see x.json", []),
        ("@Sales is a file too, unlike z.csv", []),
        ("`@Annual Accounts 1999.xlsx`", []),
    ],
)
def test_missing_name_with_spaces_near_no_file(folder: Path, prompt: str, names: list[str]) -> None:
    assert unfound(prompt) == names
