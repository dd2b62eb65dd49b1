"""Files of the person's: what is found, what is refused, and where it goes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.kernel.transfer.host_files import HostFile, look, read_chunks, walk
from agent_kernel.kernel.transfer.mentions import find_mentioned, mentions
from agent_kernel.kernel.transfer.uploads import find_uploads

SETTINGS = KernelSettings()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook's folder with a small tree; the working directory."""
    here = tmp_path / "here"
    for name in ("a.csv", "my file.csv", "data/b.csv", "data/deep/c.csv", "data/deep/d.txt", "data/.env"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    (here / "link.csv").symlink_to(tmp_path / "secret.txt")
    (here / "data" / "link").symlink_to(tmp_path)
    os.mkfifo(here / "pipe")
    (here / "empty").mkdir()
    monkeypatch.chdir(here)
    return here


def targets(arguments: str) -> list[str]:
    return [upload.target for upload in find_uploads(arguments, SETTINGS).uploads]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("a.csv", ["a.csv"]),
        ("data/b.csv", ["b.csv"]),
        ("'my file.csv' a.csv", ["my file.csv", "a.csv"]),
        ("data", ["data/b.csv", "data/deep/c.csv", "data/deep/d.txt"]),
        ("data/", ["data/b.csv", "data/deep/c.csv", "data/deep/d.txt"]),
        ("data/*.csv", ["b.csv"]),
        ("data/**/*.csv", ["b.csv", "deep/c.csv"]),
        ("data/*/*.csv", ["deep/c.csv"]),
        ("../here/data/deep", ["deep/c.csv", "deep/d.txt"]),
        ("data/.env", [".env"]),
        ("data/.e*", [".env"]),
        ("**/*.txt", ["data/deep/d.txt"]),
    ],
)
def test_where_files_go(arguments: str, expected: list[str]) -> None:
    assert targets(arguments) == expected


def test_the_notebooks_own_folder_has_no_name() -> None:
    assert targets(".") == ["a.csv", "my file.csv", "data/b.csv", "data/deep/c.csv", "data/deep/d.txt"]


def test_what_a_folder_does_not_give_is_counted() -> None:
    assert find_uploads("data", SETTINGS).left_out == {"hidden": 1, "linked": 1}
    assert find_uploads(".", SETTINGS).left_out == {"hidden": 1, "linked": 2, "no plain file": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("b.csv", "There is no file b.csv. Did you mean a.csv or"),
        ("dta/b.csv", "There is no folder dta"),
        ("link.csv", "link.csv is a symbolic link, and links are not followed. Use the file"),
        ("data/link/secret.txt", "data/link is a symbolic link"),
        ("pipe", "pipe is not a plain file but a pipe."),
        ("/dev/null", "/dev/null is not a plain file but a device."),
        ("empty", "There is nothing to upload in empty"),
        ("*.parquet", "No file matches *.parquet"),
        ("data/b.csv ./data/b.csv", "one would replace the other"),
        ("'a\0b'", "cannot be read"),
        ("a.csv/*.csv", "a.csv is not a folder"),
        ("data/link/*.txt", "data/link is a symbolic link"),
    ],
)
def test_what_is_refused_and_why(arguments: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        find_uploads(arguments, SETTINGS)
    assert words in str(raised.value)


def test_limits_hold_for_the_whole_before_the_first_byte() -> None:
    with pytest.raises(
        InvalidRequest, match=r"data/deep/c\.csv has 15 bytes; the limit for one file is 14 bytes"
    ):
        find_uploads("a.csv data", KernelSettings(max_upload=14))
    with pytest.raises(
        InvalidRequest, match=r"The upload has 40 bytes in 3 files; the limit for one cell is 30 bytes\."
    ):
        find_uploads("data", KernelSettings(max_upload_total=30))
    with pytest.raises(InvalidRequest, match="more than 2 files in data"):
        find_uploads("data", KernelSettings(max_files=2))
    with pytest.raises(InvalidRequest, match="more than 1 files in data"):
        find_uploads("data/**/*.csv", KernelSettings(max_files=1))


def test_a_folder_that_cannot_be_read_is_told() -> None:
    with pytest.raises(InvalidRequest, match="nowhere cannot be read"):
        walk(Path("nowhere"), most=10)


def test_a_file_that_was_exchanged_or_changed_is_not_sent(folder: Path) -> None:
    looked = look(Path("a.csv"))
    assert looked is not None
    Path("a.csv").unlink()
    Path("a.csv").symlink_to(folder.parent / "secret.txt")
    with pytest.raises(InvalidRequest, match=r"a\.csv cannot be read"):
        asyncio.run(read(looked))
    Path("a.csv").unlink()
    Path("a.csv").write_text("another")
    with pytest.raises(InvalidRequest, match="was changed while it was read"):
        asyncio.run(read(looked))


async def read(file: HostFile) -> bytes:
    return b"".join([chunk async for chunk in read_chunks(file)])


# -- @file -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("What is in @a.csv?", ["a.csv"]),
        ("Compare @a.csv, @data/b.csv.", ["a.csv", "data/b.csv"]),
        ("(see @a.csv) and @a.csv again", ["a.csv"]),
        ('Look at @"my file.csv", please', ["my file.csv"]),
        ("All of @data", ["data/b.csv", "data/deep/c.csv", "data/deep/d.txt"]),
        ("All of @data/deep/", ["data/deep/c.csv", "data/deep/d.txt"]),
        ("@./data/../a.csv", ["a.csv"]),
        ("@../secret.txt", ["secret.txt"]),
        ("Write to me@example.org about it", []),
        ("me@a.csv is no mention", []),
        ("What does @dataclass do? And @app.route?", []),
        ("Thanks @ada! cc @bob.", []),
        ("`@a.csv` is code, ```\n@missing.csv\n``` too", []),
        ("\\@missing.csv is text", []),
        ("@ alone, @@double", []),
    ],
)
def test_what_a_prompt_mentions(prompt: str, expected: list[str]) -> None:
    assert [upload.target for upload in find_mentioned(prompt, SETTINGS).uploads] == expected


def test_paths_given_absolutely_or_from_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    for word in ("~/secret.txt", str(folder.parent / "secret.txt")):
        found = find_mentioned(f"Read @{word}, please.", SETTINGS).uploads
        assert [(upload.target, upload.file.path.read_text()) for upload in found] == [
            ("secret.txt", "secret")
        ]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("What is in @aa.csv?", "@aa.csv: There is no file aa.csv. Did you mean a.csv or"),
        ("@data/x", "@data/x: There is no file data/x."),
        ('@"no such"', "@no such: There is no file no such."),
        ("@nowhere/a.csv", "There is no folder nowhere"),
        ("@link.csv", "link.csv is a symbolic link"),
        ("@pipe", "is not a plain file but a pipe"),
        ("@empty", "There is nothing to upload in empty"),
        ("@missing.parquet", "If no file is meant, write \\@missing.parquet or put it in backticks."),
    ],
)
def test_mentions_that_cannot_be(prompt: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        find_mentioned(prompt, SETTINGS)
    assert words in str(raised.value)


def test_a_name_that_ends_in_punctuation_is_found_first() -> None:
    Path("why?").write_text("x")
    assert [upload.target for upload in find_mentioned("@why?", SETTINGS).uploads] == ["why?"]
    assert [mention.word for mention in mentions("@why? @a!")] == ["why?", "a!"]
