"""Files go up and down by mention and by magic, whole or not at all."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.kernel.client import Notebook, Result
from tests.kernel.magics.asked import asked
from tests.kernel.upstream import Played

pytestmark = pytest.mark.bubblewrap


def uploads_of(result: Result) -> list[str]:
    return [text for text in result.plain if text.startswith("Uploaded")]


def test_a_mentioned_file_is_uploaded_once_and_again_when_changed(fresh: Notebook) -> None:
    (fresh.folder / "people.csv").write_text("name,age\nAda,36\nBob,41\n")
    ask = "Tell me what is in people.csv, that is @people.csv."
    first = fresh.run(ask)
    assert uploads_of(first) == [
        "Uploaded `people.csv` (23 bytes) to `/mnt/data/people.csv`: 2 rows × 2 columns"
    ]
    assert first.plain[-1] == "It has **3 lines**."
    os.utime(fresh.folder / "people.csv")  # touched, not changed
    assert uploads_of(fresh.run(ask)) == []
    (fresh.folder / "people.csv").write_text("name,age\n")
    again = fresh.run(ask)
    assert uploads_of(again) == [
        "Uploaded `people.csv` (9 bytes) to `/mnt/data/people.csv`: 0 rows × 2 columns"
    ]
    assert again.plain[-1] == "It has **1 lines**."
    fresh.run("!rm people.csv")
    assert len(uploads_of(fresh.run(ask))) == 1


def test_the_model_is_told_of_uploads_and_parameters(talking: Notebook, upstream: Played) -> None:
    data = talking.folder / "data"
    data.mkdir()
    (data / "my file.csv").write_text("x")
    (data / "städte.csv").write_bytes("Stadt;Höhe\nKöln;1,5\n".encode("latin-1"))
    (data / "broken.xlsx").write_bytes(b"x")
    shown = talking.run("%upload data/städte.csv data/broken.xlsx\n!printf 'a;b\\n1;2\\n' > made.csv").plain
    told = asked(talking, upstream, '%set region=north\nLook at @"data/my file.csv".')
    assert "The user uploaded a file: /mnt/data/data/my file.csv (1 bytes)." in told
    caption = "1 row × 2 columns; read as Windows-1252 (Latin-1) (a guess); separated by `;`; decimal commas"
    assert shown[0].endswith(caption)
    reason = "not read as a table: it is damaged or of another kind"
    assert shown[1].endswith(reason)
    assert f"In the notebook: {reason}." in told
    assert f"In the notebook: {caption}; columns: `Stadt` (text), `Höhe` (float)." in told
    assert "/mnt/data/made.csv: 1 row × 2 columns; separated by `;`; columns: `a` (int), `b` (int)" in told
    assert "The user set a parameter: region = 'north'. It is in the shell as $region." in told


def test_files_of_one_name_from_two_folders_stay_apart(fresh: Notebook) -> None:
    for year in ("y23", "y24", "y25"):
        (fresh.folder / year).mkdir()
        (fresh.folder / year / "data.csv").write_text(f"year\n{year}\n")
    (fresh.folder / "y25" / "data.csv").write_text("year\ny23\n")  # the same content as the first
    there = "!cat data.csv data-2.csv; ls"
    fresh.run(f"say hello @{fresh.folder}/y23/data.csv")
    second = fresh.run(f"say hello @{fresh.folder}/y24/data.csv")
    assert "/mnt/data/data-2.csv" in "".join(second.plain)
    fresh.run(f"say hello @{fresh.folder}/y25/data.csv")
    fresh.run(f"say hello @{fresh.folder}/y24/data.csv and @{fresh.folder}/y23/data.csv")
    assert fresh.run(there).plain[-1].split() == ["year", "y23", "year", "y24", "data-2.csv", "data.csv"]
    (fresh.folder / "y24" / "data.csv").write_text("year\nchanged\n")
    fresh.run(f"say hello @{fresh.folder}/y24/data.csv")
    assert fresh.run(there).plain[-1].split() == [
        "year",
        "y23",
        "year",
        "changed",
        "data-2.csv",
        "data.csv",
    ]


def test_a_tree_up_and_down(fresh: Notebook) -> None:
    for number in range(12):
        path = fresh.folder / "data" / f"part{number % 3}" / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(10_000))
    (fresh.folder / "data" / ".env").write_text("SECRET=1")
    result = fresh.run("%upload data")
    assert result.plain == [
        "Uploaded 12 files (120.0 kB) to `/mnt/data/data`",
        "Some files were skipped (left out: 1 hidden); name a file to upload it.",
    ]
    shown = fresh.run("%files").plain[0]
    assert "part2/" in shown
    assert ".env" not in shown
    down = fresh.run("%download data/**/*.csv back")
    assert down.plain == ["Downloaded 12 files (120.0 kB) to `back`"]
    for path in (fresh.folder / "data").glob("*/*.csv"):
        assert (
            fresh.folder / "back" / path.relative_to(fresh.folder / "data")
        ).read_bytes() == path.read_bytes()
    again = fresh.run("%download data/part0/0.csv back/part0/")
    assert "back/part0/0.csv already exists. Nothing was downloaded." in again.error
    assert fresh.run("%download data/part0/0.csv back/part0/ --force").reply["status"] == "ok"
    assert list(fresh.folder.rglob("*.part")) == []


def test_large_upload_shows_its_progress_where_it_can_be_cleared(fresh: Notebook) -> None:
    (fresh.folder / "large.bin").write_bytes(bytes(30_000_000))
    live = fresh.run("%upload large.bin", cell_id="c")
    shown = [
        message["content"]["data"]["text/plain"]
        for message in live.messages
        if message["content"].get("transient", {}).get("display_id")
    ]
    assert re.fullmatch(r"Uploading `large.bin`: [\d.]+ MB of 30.0 MB \(\d+ %\)", shown[0])
    assert live.kinds[-2:] == ["clear_output", "display_data"]
    batch = fresh.run("%download large.bin copy.bin")
    assert batch.plain == ["Downloaded `copy.bin` (30.0 MB)"]
    assert (fresh.folder / "copy.bin").stat().st_size == 30_000_000


@pytest.mark.parametrize("line", ["%upload {}", "%download {} back.bin"])
def test_an_interrupt_in_a_transfer_leaves_nothing_partial(fresh: Notebook, line: str) -> None:
    name = "endless.bin"
    if line.startswith("%upload"):
        with (fresh.folder / name).open("wb") as file:
            file.truncate(500 << 20)
    else:
        fresh.run(f"!!truncate -s 500M {name}")
    sent = fresh.send(line.format(name), cell_id="c")
    fresh.collect(sent, until=lambda message: "MB (" in json.dumps(message["content"]))
    fresh.interrupt()
    result = fresh.collect(sent)
    assert result.reply["ename"] == "KeyboardInterrupt"
    if line.startswith("%upload"):
        assert fresh.run("%files").plain == ["There are no files in `/mnt/data`."]
    else:
        assert sorted(path.name for path in fresh.folder.iterdir()) == []
    assert fresh.run("say hello").plain == ["Hello, **world**."]
