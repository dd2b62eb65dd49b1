"""`%record` and `replay/FILE` in a kernel: what is kept of a turn, and what a replay says that differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_kernel.cassettes.cassette import Cassette
from agent_kernel.cassettes.reading import read
from agent_kernel.kernel.recording.report import DRIFT_MIME
from tests.kernel.client import Notebook, Result
from tests.kernel.running import running

pytestmark = pytest.mark.bubblewrap

SECRET = "never-to-be-seen-4711"
SCRIPT = f"""
turns:
  - when: Count the people
    do:
      - think: Lines, then the mean.
      - shell:
          - tail -n +2 people.csv | wc -l
          - awk -F, 'NR > 1 {{s += $2}} END {{print "mean", s / (NR - 1)}}' people.csv
      - tool: {{type: code_interpreter, arguments: {{code: "print('took 5 ms'); 6 * 7"}}}}
      - say: "The mean age is {{mean}}."
        quote: {{mean: 'mean (\\S+)'}}
  - when: Show the key
    do:
      - shell: echo {SECRET} order-12
      - say: It is {SECRET}.
  - when: Wait
    do:
      - shell: echo begun; sleep 60
      - say: Done.
"""
PEOPLE = "name,age\nAda,36\nBob,40\n"
CASSETTE = "cassettes/people.yaml"


@pytest.fixture(scope="module")
def notebook(jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A kernel in a folder with its notebook's file, which gives the cells their ids."""
    folder = tmp_path_factory.mktemp("recorded")
    script = folder / "people-script.yaml"
    script.write_text(SCRIPT)
    (folder / "people.csv").write_text(PEOPLE)
    sources = ["Count the people", "Show the key", "Wait"]
    cells = [
        {"cell_type": "code", "id": f"cell-{number}", "source": source, "metadata": {}, "outputs": []}
        for number, source in enumerate(sources)
    ]
    cells[0]["metadata"] = {"agent_kernel": {"drift_ignore": ["took * ms"]}}
    (folder / "people.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    settings = {
        "AGENT_KERNEL_MODEL": f"scripted/{script}",
        "AGENT_KERNEL_API_KEY": SECRET,
        "AGENT_KERNEL_RECORD_REDACT": r'["order-\\d+"]',
    }
    with running(jupyter_path, folder, "agent-demo", **settings) as notebook:
        assert notebook.run("%upload people.csv").reply["status"] == "ok"
        yield notebook


def cassette(notebook: Notebook) -> Cassette:
    return read(notebook.folder / CASSETTE)


def record(notebook: Notebook) -> None:
    """Record two cells, which are then as they were recorded first."""
    assert notebook.run(f"!!printf {PEOPLE!r} > people.csv").reply["status"] == "ok"
    assert notebook.run("%model --default\n%record on").reply["status"] == "ok"
    for prompt in ("Count the people", "Show the key"):
        ran = notebook.run(prompt)
        assert ran.reply["status"] == "ok", ran.error
    assert notebook.run("%record off").plain == ["Cells are not recorded."]


def replayed(notebook: Notebook, prompt: str) -> Result:
    assert notebook.run(f"%model replay/{CASSETTE}").reply["status"] == "ok"
    return notebook.run(prompt)


def test_cells_are_recorded_without_secrets_and_replaced(notebook: Notebook) -> None:
    record(notebook)
    before = (notebook.folder / CASSETTE).read_text()
    found = cassette(notebook)
    assert [(cell.cell, cell.asks) for cell in found.cells] == [
        ("cell-0", "Count the people"),
        ("cell-1", "Show the key"),
    ]
    assert found.model.startswith("scripted/")
    assert (found.notebook, found.recorded_in.sandbox) == ("people.ipynb", "bubblewrap")
    assert found.recorded_in.packages["pandas"]
    assert SECRET not in before
    assert "echo [redacted] [redacted]" in before
    record(notebook)
    assert (notebook.folder / CASSETTE).read_text() == before, "recorded again, it is the same"


def test_interrupted_cell_keeps_what_was_recorded(notebook: Notebook) -> None:
    record(notebook)
    before = cassette(notebook)
    assert notebook.run(f"%record on {CASSETTE}").reply["status"] == "ok"
    sent = notebook.send("Wait", cell_id="cell-0")
    notebook.collect(sent, lambda message: message["msg_type"] in ("display_data", "update_display_data"))
    notebook.interrupt()
    assert notebook.collect(sent).reply["status"] == "error"
    assert notebook.run("%record off").reply["status"] == "ok"
    assert cassette(notebook) == before


def test_replay_runs_the_commands_and_reports_what_differs(notebook: Notebook) -> None:
    record(notebook)
    same = replayed(notebook, "Count the people")
    assert same.plain[-1].startswith("The mean age is 38[a].")
    assert not any("printed something other" in text for text in same.plain)
    notebook.run("!!printf 'name,age\\nAda,36\\nBob,41\\n' > people.csv")
    warned = notebook.run("Count the people")
    assert warned.reply["status"] == "ok"
    [output] = [each for each in warned.final if DRIFT_MIME in each["data"]]
    told = output["data"]["text/plain"].splitlines()
    assert told[0].startswith("1 of 3 commands in cell cell-0 “Count the people” printed something other")
    assert told[1].startswith("step 1, awk -F,")
    assert told[2:5] == [
        "  expected  mean 38",
        "  got       mean 38.5",
        "            38 → 38.5 (+0.5, +1.32%)",
    ]
    assert "38 → 38.5" in output["data"]["text/html"]

    file = notebook.folder / "people.ipynb"
    before = json.loads(file.read_text())
    for mode, ending in [("fail", "Drifted"), ("ignore", None)]:
        before["cells"][0]["metadata"]["agent_kernel"]["drift"] = mode
        file.write_text(json.dumps(before))
        ran = notebook.run("Count the people")
        assert ran.reply.get("ename") == ending
        assert any(DRIFT_MIME in each["data"] for each in ran.final if "data" in each) is bool(ending)
    del before["cells"][0]["metadata"]["agent_kernel"]["drift"]
    file.write_text(json.dumps(before))


def test_prompt_that_was_not_recorded_names_the_cell(notebook: Notebook) -> None:
    record(notebook)
    missing = replayed(notebook, "Count the animals")
    assert missing.reply["status"] == "error"
    assert "no answer for the cell “Count the animals”" in missing.error
    assert "cell-0 “Count the people”" in missing.error
    assert "agent-kernel record --update" in missing.error
    refused = notebook.run("%record on")
    assert "replays a cassette" in refused.error
    assert notebook.run("%model --default").reply["status"] == "ok"
