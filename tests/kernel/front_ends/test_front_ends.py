"""One notebook in every front end that runs without a browser: the same final outputs in each."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pexpect
import pytest
from click.testing import CliRunner
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from papermill.cli import papermill

from tests.kernel.client import Notebook, without_ids
from tests.kernel.notebooks import write_notebook
from tests.kernel.running import use_kernels

pytestmark = pytest.mark.bubblewrap

PEOPLE = "name,age\nAda,36\nBob,41\n"
CELLS = [
    "%upload people.csv\nwhat is in people.csv",
    "draw and save",
    "fail",
    "be hostile",
    "!ls",
    "say hello",
]


def written(folder: Path) -> Path:
    """Write the notebook and the file that it uploads."""
    (folder / "people.csv").write_text(PEOPLE)
    write_notebook(folder / "asked.ipynb", CELLS)
    return folder / "asked.ipynb"


@pytest.fixture
def path(tmp_path: Path, jupyter: Path) -> Path:
    return written(tmp_path)


@pytest.fixture(scope="module")
def executed(jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook as nbclient executed it, once for the tests that only read it."""
    with pytest.MonkeyPatch.context() as patch:
        use_kernels(jupyter_path, patch)
        return run_with_nbclient(written(tmp_path_factory.mktemp("executed")))


def outputs_of(path: Path) -> list[list[dict[str, Any]]]:
    """The outputs of each cell, without what may differ from run to run: their metadata."""
    notebook = json.loads(path.read_text())
    particular = ("metadata", "execution_count")
    return [
        [{key: value for key, value in output.items() if key not in particular} for output in cell["outputs"]]
        for cell in notebook["cells"]
    ]


def run_with_nbclient(path: Path) -> Path:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(path.parent)}}).execute()
    done = path.with_name("nbclient.ipynb")
    nbformat.write(notebook, done)  # type: ignore[no-untyped-call]
    return done


def test_nbclient_and_jupyter_execute_and_a_live_front_end_agree(
    executed: Path, path: Path, fresh: Notebook
) -> None:
    first = outputs_of(executed)
    done = path.with_name("executed.ipynb")
    jupyter_execute = Path(sys.executable).with_name("jupyter-execute")
    command = [str(jupyter_execute), str(path), f"--output={done.stem}"]
    subprocess.run(command, cwd=path.parent, check=True, timeout=100)
    assert outputs_of(done) == first

    (fresh.folder / "people.csv").write_text(PEOPLE)
    for number, cell in enumerate(CELLS):
        kept = fresh.run(cell, cell_id=f"cell-{number}").final
        stored = [joined(output["data"]) for output in first[number]]
        assert without_ids(stored) == without_ids([output["data"] for output in kept])


def joined(data: dict[str, Any]) -> dict[str, Any]:
    """Notebook files hold texts as lists of lines."""
    return {mime: "".join(value) if isinstance(value, list) else value for mime, value in data.items()}


def test_stored_notebook_is_readable_without_kernel_or_widgets(executed: Path) -> None:
    notebook = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    assert "widget" not in executed.read_text()
    for cell in notebook.cells:
        assert cell.outputs
        assert all("text/plain" in output.data for output in cell.outputs)


def test_an_exported_page_has_the_outputs_and_none_of_their_markup(executed: Path) -> None:
    notebook = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
    page, _ = HTMLExporter(template_name="lab").from_notebook_node(notebook)  # type: ignore[no-untyped-call]
    assert "head -n 2 people.csv" in re.sub("<[^>]+>", "", page)  # the command has colours
    assert "<strong>3 lines</strong>" in page
    assert "data:image/png;base64," in page
    assert "&lt;script&gt;window.hostile" in page
    assert "<script>window.hostile" not in page
    assert "<img src=x" not in page


def test_a_failing_cell_fails_the_batch(path: Path) -> None:
    write_notebook(path, ["say hello", "sing", "say hello"])
    with pytest.raises(CellExecutionError, match="has no answer for"):
        run_with_nbclient(path)


def test_papermill_sets_parameters(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As shell variables, beside what a cell tagged `parameters` says; the model is told of both."""
    write_notebook(path, ["%set region=south\n%set years=[2024]", "!echo $region, $years, $note"])
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["metadata"] = {"tags": ["parameters"]}
    path.write_text(json.dumps(notebook))
    monkeypatch.chdir(path.parent)
    parameters = ["-p", "region", "north", "-y", 'note: "two\\n\\"lines\\" of $HOME"']
    run = CliRunner().invoke(papermill, ["--no-progress-bar", *parameters, path.name, "done.ipynb"])
    assert run.exit_code == 0, run.output
    first, injected, asked = outputs_of(path.with_name("done.ipynb"))
    assert [plain(output) for output in first] == ['`region` = `"south"`', "`years` = `[2024]`"]
    assert '`region` = `"north"`' in [plain(output) for output in injected]
    assert plain(asked[-1]) == 'north, [2024], two "lines" of $HOME'
    assert "region: " in CliRunner().invoke(papermill, ["--help-notebook", path.name]).stdout


def plain(output: dict[str, Any]) -> str:
    return "".join(output["data"]["text/plain"])


def test_what_vs_code_sends(shared: Notebook) -> None:
    """Its messages as far as they are known: cells with an id and questions allowed, silent requests."""
    client = shared.client
    assert shared.reply(client.kernel_info())["language_info"]["name"] == "agent"
    assert shared.reply(client.comm_info())["comms"] == {}
    silent = client.execute("%nosuch", silent=True, store_history=False)
    assert shared.collect(silent).messages == []
    cell = "vscode-notebook-cell:/folder/asked.ipynb#W0sZmlsZQ%3D%3D"
    sent = shared.send("wait for ever", cell_id=cell, allow_stdin=True)
    first = shared.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    assert "comm_open" in first.kinds
    assert shared.reply(client.complete("%up", 3))["matches"] == ["%upload"]
    assert shared.reply(client.inspect("%upload", 3, detail_level=0))["found"]
    shared.interrupt()
    assert shared.collect(sent).reply["ename"] == "KeyboardInterrupt"
    again = shared.send("say hello", cell_id=cell, allow_stdin=True)
    assert shared.collect(again).plain == ["Hello, **world**."]


def test_the_arrow_keys_of_a_console_reach_back_beyond_the_kernel(start: Callable[..., Notebook]) -> None:
    start().run("!echo in an earlier kernel")
    later = start()
    later.run("%budget")
    asked = later.client.history(
        raw=True, output=False, hist_access_type="tail", n=1000
    )  # as it does at start
    assert [cell for _, _, cell in later.reply(asked)["history"]][-2:] == [
        "!echo in an earlier kernel",
        "%budget",
    ]


def test_the_console_shows_the_same(path: Path) -> None:
    console = pexpect.spawn(
        sys.executable,
        ["-m", "jupyter_console", "--kernel=agent", "--simple-prompt"],
        cwd=str(path.parent),
        encoding="utf-8",
        timeout=60,
        env=os.environ | {"TERM": "dumb"},
        dimensions=(60, 400),
    )
    try:
        console.expect(r"In \[1\]:")
        console.sendline("fail")
        console.expect_exact("$ echo out; echo err >&2; exit 3")
        console.expect(r"out\s+\[stderr\]\s+err\s+\[exit 3\]")
        console.expect_exact("Both failed.")
        console.expect(r"In \[2\]:")
        console.sendline("be hostile")
        console.expect_exact("red")
        console.expect(r"In \[3\]:")
        assert "\x1b]0;" not in (console.before or "")
        console.sendline("%nosuch")
        console.expect_exact("There is no magic %nosuch.")
    finally:
        console.close(force=True)
