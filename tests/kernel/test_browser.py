"""What a person sees: the real kernel in the real JupyterLab in a real Chromium.

Set AGENT_KERNEL_PICTURES to a folder to keep the screenshots.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Page, expect

from tests.kernel import lab
from tests.kernel.client import Notebook
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(240)]

CELLS = ["%upload people.csv\n\nwhat is in people.csv", "draw and save", "work slowly", "be hostile", "fail"]
LIVE = ".agent-live"
WAIT = 60_000.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]) -> Path:
    if lab.CHROMIUM is None:
        missing("There is no Chromium. Install it with: apt-get install chromium")
    folder = tmp_path_factory.mktemp("lab")
    (folder / "people.csv").write_text("name,age\nAda,36\nBob,41\n")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path, jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(jupyter_path))
        with lab.lab_server(folder, tmp_path_factory.mktemp("jupyterlab")) as address:
            yield address


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    chosen = Path(os.environ.get("AGENT_KERNEL_PICTURES") or tmp_path)
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def saved(page: Page, path: Path) -> list[list[dict[str, Any]]]:
    """Save the notebook; the outputs of each cell as the file has them, without their metadata."""
    lab.command(page, "docmanager:save")
    cells = json.loads(path.read_text())["cells"]
    return [[{k: v for k, v in o.items() if k != "metadata"} for o in cell["outputs"]] for cell in cells]


def prompts(page: Page) -> list[str]:
    return page.locator(".jp-InputPrompt").all_inner_texts()


def test_a_turn_is_seen_live_and_ends_as_static_outputs(
    address: str, folder: Path, pictures: Path, start: Callable[..., Notebook], tmp_path: Path
) -> None:
    write_notebook(folder / "turns.ipynb", CELLS)
    with lab.lab_page(address, "turns.ipynb", height=1900) as page:
        lab.start_command(page, "notebook:run-all-cells")
        view = page.locator(LIVE)
        expect(view.locator(".agent-live-stdout")).to_contain_text("step 2 of 6", timeout=WAIT)
        assert "step 6" not in view.inner_text()
        expect(view.locator(".agent-live-command")).to_contain_text("$ for i in 1 2 3 4 5 6")
        expect(view.locator(".agent-live-status")).to_contain_text("Working")
        page.screenshot(path=pictures / "live.png")
        expect(page.locator(".jp-InputPrompt", has_text="[5]:")).to_have_count(1, timeout=WAIT)
        expect(view).to_have_count(0)
        expect(page.get_by_text("Error displaying widget")).to_have_count(0)
        assert page.evaluate("window.hostile") is None
        page.screenshot(path=pictures / "final.png")
        in_browser = saved(page, folder / "turns.ipynb")

    (tmp_path / "people.csv").write_bytes((folder / "people.csv").read_bytes())
    batch = start()
    for cell, outputs in zip(CELLS, in_browser, strict=True):
        final = [output["data"] for output in batch.run(cell).final]
        assert [{m: as_text(d) for m, d in output["data"].items()} for output in outputs] == final


def as_text(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) else value


def test_the_stop_button_ends_the_turn_and_keeps_what_was_done(address: str, folder: Path) -> None:
    write_notebook(folder / "stopped.ipynb", ["wait for ever", "say hello"])
    with lab.lab_page(address, "stopped.ipynb") as page:
        lab.start_command(page, "notebook:run-cell-and-select-next")
        expect(page.locator(".agent-live-stdout")).to_contain_text("begun", timeout=WAIT)
        page.locator(".agent-live-stop").click()
        expect(page.locator(LIVE)).to_have_count(0, timeout=WAIT)
        output = page.locator(".jp-Cell").first.locator(".jp-OutputArea")
        expect(output).to_contain_text("begun")
        expect(output).to_contain_text("KeyboardInterrupt")
        page.wait_for_function(f"() => {lab.KERNEL}.status === 'idle'")
        page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")
        lab.start_command(page, "notebook:run-cell-and-select-next")
        expect(page.locator(".jp-Cell").nth(1)).to_contain_text("Hello, world.", timeout=WAIT)


def test_a_reloaded_page_catches_up_with_the_running_turn(address: str, folder: Path) -> None:
    write_notebook(folder / "reloaded.ipynb", ["wait for ever"])
    with lab.lab_page(address, "reloaded.ipynb") as page:
        lab.start_command(page, "notebook:run-cell")
        printed = page.locator(f"{LIVE} .agent-live-stdout")
        expect(printed).to_contain_text("begun", timeout=WAIT)
        lab.command(page, "docmanager:save")
        page.reload()
        expect(printed).to_contain_text("begun", timeout=WAIT)
        page.locator(".agent-live-stop").click()
        expect(page.locator(".agent-live-status")).to_contain_text("Ended", timeout=WAIT)
        expect(page.locator(".agent-live-hint")).to_be_visible()
        expect(page.locator(".agent-live-stop")).to_be_hidden()
        expect(printed).to_contain_text("begun")
        expect(page.get_by_text("Error displaying widget")).to_have_count(0)


def test_an_untrusted_notebook_still_reads_well(address: str, folder: Path, pictures: Path) -> None:
    """As it comes from somebody else: the sanitiser must leave the outputs legible, and nothing may run."""
    write_notebook(folder / "made.ipynb", CELLS)
    with lab.lab_page(address, "made.ipynb") as page:
        lab.start_command(page, "notebook:run-all-cells")
        expect(page.locator(".jp-InputPrompt", has_text="[5]:")).to_have_count(1, timeout=WAIT)
        lab.command(page, "docmanager:save")
    notebook = json.loads((folder / "made.ipynb").read_text())
    notebook["metadata"]["from"] = "elsewhere"  # other content: no signature fits
    (folder / "foreign.ipynb").write_text(json.dumps(notebook))
    with lab.lab_page(address, "foreign.ipynb", height=1900) as page:
        cell = "window.jupyterapp.shell.currentWidget.context.model.cells.get(0)"
        assert page.evaluate(f"() => {cell}.trusted") is False
        call = page.locator(".jp-OutputArea-output pre", has_text="head -n 2 people.csv").first
        style = call.evaluate(
            "(e) => [getComputedStyle(e).whiteSpace, getComputedStyle(e.parentElement).borderLeftWidth]"
        )
        assert style == ["pre-wrap", "3px"]
        expect(page.locator("details > summary", has_text="Reasoning").first).to_be_visible()
        assert page.evaluate("window.hostile") is None
        page.screenshot(path=pictures / "untrusted.png")
