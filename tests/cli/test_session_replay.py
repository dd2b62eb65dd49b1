"""`agent-kernel session replay`: the same turns with other models, in containers of their own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.command import call
from tests.cli.conversation import conversation
from tests.forked import Forked

pytestmark = pytest.mark.bubblewrap

FIRST = r"""
turns:
  - when: Count the people
    do:
      - shell: ["tail -n +2 people.csv | wc -l > count.txt; cat count.txt"]
      - say: There are {count} people.
        quote: {count: '(\d+)'}
  - when: How old
    do:
      - say: Not known to me.
"""
SECOND = r"""
turns:
  - when: Count the people
    do:
      - tool: {type: code_interpreter, arguments: {code: "print(len(open('people.csv').readlines()) - 1)"}}
      - say: "Counted <b>{count}</b>."
        quote: {count: '(\d+)'}
  - when: How old
    do:
      - shell: [cat count.txt, "awk -F, 'NR > 1 {print $2}' people.csv > ages.txt"]
      - say: Here they are.
"""
SLOW = """
turns:
  - when: Count the people
    do:
      - shell: ["echo begun > begun.txt; sleep 60"]
      - say: Done.
"""


@dataclass(frozen=True)
class Held:
    """A conversation that was held with the first model, and the models by name."""

    last: str
    environment: dict[str, str]
    models: dict[str, str]

    def containers(self) -> list[str]:
        listed = call("containers", "list", "--json", environment=self.environment)
        return [each["name"] for each in json.loads(listed.stdout)]


@pytest.fixture
def held(own_environment: dict[str, str], tmp_path: Path) -> Iterator[Held]:
    models = {}
    for name, text in {"first": FIRST, "second": SECOND, "slow": SLOW}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        models[name] = f"scripted/{tmp_path / name}.yaml"
    environment = {**own_environment, "AGENT_KERNEL_SANDBOX": "bubblewrap"}
    data = Path(environment["AGENT_KERNEL_DATA_DIR"])
    prompts = ["Count the people", "How old are they?"]
    last, _ = asyncio.run(conversation(data, "bubblewrap", models["first"], prompts))
    yield Held(last, environment, models)
    call("containers", "rm", "--all", environment=environment)


def responses(held: Held) -> int:
    """Return the number of responses in the store."""
    [file] = Path(held.environment["AGENT_KERNEL_DATA_DIR"]).glob("*.sqlite")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        return int(database.execute("select count(*) from responses").fetchone()[0])


def test_models_are_shown_side_by_side_and_leave_nothing(held: Held, tmp_path: Path) -> None:
    """One of three cannot be asked at all: the others go on."""
    page, second = tmp_path / "replay.html", held.models["second"]
    before = responses(held)
    words = ["--model", held.models["first"], "--model", second, "--model", "scripted/none.yaml"]
    done = call("session", "replay", held.last, *words, "--output", str(page), environment=held.environment)
    assert done.returncode == 0, done.stderr
    rows = [re.split(r" {2,}", line) for line in done.stdout.splitlines()[:5]]
    assert rows[0] == ["MODEL", "TURNS", "COMMANDS", "FILES", "TOKENS", "TIME", "END"]
    assert [row[1:4] for row in rows[1:]] == [
        ["2", "1", "1"],
        ["2", "1", "1"],
        ["2", "3 (1 failed)", "1"],
        ["0", "0", "0"],
    ], done.stdout
    assert [row[-1] == "done" for row in rows[1:]] == [True, True, True, False]
    text = page.read_text()
    assert "There are 2 people." in text
    assert "Counted &lt;b&gt;2&lt;/b&gt;." in text
    assert "ages.txt" in text
    assert "<script" not in text
    assert held.containers() == ["people"]
    assert responses(held) == before


def test_page_for_a_pull_request_has_the_same(held: Held, tmp_path: Path) -> None:
    page = tmp_path / "replay.md"
    words = ["--model", held.models["second"], "--output", str(page)]
    done = call("session", "replay", held.last, *words, environment=held.environment)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "| Model | Turns | Commands |" in text
    assert text.count("### ") == 4
    assert "Counted &lt;b>2&lt;/b>." in text
    again = call("session", "replay", held.last, *words, environment=held.environment)
    assert again.returncode == 2
    assert "--force" in again.stderr


@pytest.mark.slow
def test_interrupt_shows_what_was_done_and_removes_containers(held: Held, tmp_path: Path) -> None:
    page, before = tmp_path / "replay.md", responses(held)
    words = ["--model", held.models["slow"], "--model", held.models["second"], "--output", str(page)]
    reading, writing = os.pipe()
    process = Forked("session", "replay", held.last, *words, environment=held.environment, stderr=writing)
    os.close(writing)
    with os.fdopen(reading) as progress:
        said = ""
        while f"{held.models['second']}: turn 2 of 2" not in said:
            said += (line := progress.readline())
            assert line, said
        process.send_signal(signal.SIGINT)
        said += progress.read()
    printed = process.stdout.read()
    assert process.wait() == 130, said
    assert "Interrupted. This is what was done until then." in said
    assert "It was interrupted." in printed
    assert "Counted" in page.read_text()
    assert held.containers() == ["people"]
    assert responses(held) == before


def test_wrong_words_are_refused_before_anything_runs(held: Held, tmp_path: Path) -> None:
    for words, why in (
        (["--model", "m", "--output", str(tmp_path / "x.pdf")], "neither .html nor .md"),
        (["--model", "m"] * 9, "At most 8 models"),
    ):
        done = call("session", "replay", held.last, *words, environment=held.environment)
        assert (done.returncode, why in done.stderr) == (2, True), done.stderr
    gone = call("session", "replay", "resp_none", "--model", "m", environment=held.environment)
    assert "There is no conversation" in gone.stderr


NOTEBOOK_CELLS = [
    "%upload data/people.csv",
    "%budget seconds=100",
    "!echo ours > ours.txt",
    "Count the people in @more.csv",
    "%%python\nprint(6 * 7)",
]


def write_notebook(folder: Path, sources: list[str]) -> Path:
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    notebook = folder / "people.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return notebook


def test_saved_notebook_is_replayed_with_its_files(held: Held, tmp_path: Path) -> None:
    folder = tmp_path / "books"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "people.csv").write_text("name,age\nAda,36\nBob,41\nEve,7\n")
    (folder / "more.csv").write_text("x\n1\n")
    notebook = write_notebook(folder, NOTEBOOK_CELLS)
    page = tmp_path / "replay.md"
    words = ["--model", held.models["first"], "--output", str(page)]
    done = call("session", "replay", str(notebook), *words, environment=held.environment)
    assert done.returncode == 0, done.stderr
    assert "Not repeated: %budget" in done.stderr
    row = re.split(r" {2,}", done.stdout.splitlines()[1])
    assert (row[0], row[1:4], row[-1]) == ("scripted/first.yaml", ["3", "3", "2"], "done"), done.stdout
    text = page.read_text()
    assert "There are 3 people." in text
    assert "```text\n42\n```" in text
    assert "ours.txt" in text
    assert held.containers() == ["people"]


def test_notebook_uploads_nothing_from_outside_its_folder(held: Held, tmp_path: Path) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    (tmp_path / "key.txt").write_text("secret")
    for source in ("%upload ../key.txt", f"%upload {tmp_path}/key.txt", 'Read @"../key.txt" please'):
        notebook = write_notebook(folder, [source, "Count the people"])
        words = ["--model", held.models["first"]]
        done = call("session", "replay", str(notebook), *words, environment=held.environment)
        assert done.returncode == 2
        assert "which is not in its folder" in done.stderr
    broken = folder / "broken.ipynb"
    broken.write_text("[" * 100_000)
    done = call("session", "replay", str(broken), "--model", "m", environment=held.environment)
    assert "broken.ipynb is not a notebook" in done.stderr
    assert held.containers() == ["people"]


def test_archive_is_replayed_and_leaves_nothing(held: Held, tmp_path: Path) -> None:
    archive, before = tmp_path / "people.session", responses(held)
    made = call("session", "export", held.last, str(archive), "--yes", environment=held.environment)
    assert made.returncode == 0, made.stderr
    words = ["--model", held.models["second"]]
    done = call("session", "replay", str(archive), *words, environment=held.environment)
    assert done.returncode == 0, done.stderr
    row = re.split(r" {2,}", done.stdout.splitlines()[2])
    assert row[1:4] == ["2", "3 (1 failed)", "1"], done.stdout
    assert held.containers() == ["people"]
    assert responses(held) == before
    listed = call("session", "list", environment=held.environment)
    assert "sess_" not in listed.stdout
    archive.write_bytes(archive.read_bytes()[:-600])
    broken = call("session", "replay", str(archive), *words, environment=held.environment)
    assert broken.returncode == 2
    assert "Traceback" not in broken.stderr
