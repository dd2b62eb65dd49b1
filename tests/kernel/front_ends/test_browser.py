"""What a person sees: the real kernel in the real JupyterLab in a real Chromium.

Set AGENT_KERNEL_PICTURES to a folder to keep the screenshots.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Page, expect

from tests.kernel import lab
from tests.kernel.client import Notebook
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(240)]

CELLS = ["%upload people.csv\n\nwhat is in people.csv", "draw and save", "work slowly", "be hostile", "fail"]
Opened = Callable[..., AbstractContextManager[Page]]

LIVE = ".agent-live"
WAIT = 60_000.0


@pytest.fixture
def opened(lab_tab: Page, lab_address: str) -> Opened:
    """Opens a notebook; see `lab.notebook_in`."""
    return partial(lab.notebook_in, lab_tab, lab_address)


def saved(page: Page, path: Path) -> list[list[dict[str, Any]]]:
    """Save the notebook; the outputs of each cell as the file has them, without their metadata."""
    lab.command(page, "docmanager:save")
    cells = json.loads(path.read_text())["cells"]
    return [[{k: v for k, v in o.items() if k != "metadata"} for o in cell["outputs"]] for cell in cells]


def test_a_turn_is_seen_live_and_ends_as_static_outputs(
    opened: Opened, lab_folder: Path, pictures: Path, start: Callable[..., Notebook], tmp_path: Path
) -> None:
    write_notebook(lab_folder / "turns.ipynb", CELLS)
    with opened("turns.ipynb", height=1900) as page:
        lab.start_command(page, "notebook:run-all-cells")
        view = page.locator(".jp-Cell").nth(2).locator(LIVE)
        expect(view.locator(".agent-live-stdout")).to_contain_text("step 2 of 6", timeout=WAIT)
        assert "step 6" not in view.inner_text()
        expect(view.locator(".agent-live-command")).to_contain_text("$ for i in 1 2 3 4 5 6")
        expect(view.locator(".agent-live-status")).to_contain_text("Running")
        lab.picture(page, pictures / "turn.png")
        expect(page.locator(".jp-InputPrompt", has_text="[5]:")).to_have_count(1, timeout=WAIT)
        expect(page.locator(LIVE)).to_have_count(0)
        expect(page.get_by_text("Error displaying widget")).to_have_count(0)
        assert page.evaluate("window.hostile") is None
        lab.picture(page, pictures / "final.png")
        in_browser = saved(page, lab_folder / "turns.ipynb")

    (tmp_path / "people.csv").write_bytes((lab_folder / "people.csv").read_bytes())
    batch = start()
    for cell, outputs in zip(CELLS, in_browser, strict=True):
        final = [output["data"] for output in batch.run(cell).final]
        assert [{m: as_text(d) for m, d in output["data"].items()} for output in outputs] == final


def as_text(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) else value


SEEN = "element => { const { top } = element.getBoundingClientRect(); return top >= 0 && top < innerHeight; }"


def follow(page: Page, target: str) -> None:
    """Click the figure in the answer, and expect that the output comes into view."""
    output = page.locator(target)
    expect(output).to_contain_text("mean 4201.754385964912")
    figure = page.get_by_role("link", name="4,201.8", exact=True).first
    figure.scroll_into_view_if_needed()
    assert not output.evaluate(SEEN)
    figure.click()
    handle = output.element_handle()
    page.wait_for_function(SEEN, arg=handle)


def test_a_figure_leads_to_its_output(
    opened: Opened, lab_folder: Path, pictures: Path, lab_tab: Page, tmp_path: Path
) -> None:
    """In a notebook that was just run, in one that is not trusted, and in an exported page."""
    path = lab_folder / "figures.ipynb"
    write_notebook(path, ["weigh the penguins"])
    with opened(path.name, height=420) as page:
        lab.start_command(page, "notebook:run-all-cells")
        expect(page.get_by_text("They weigh")).to_be_visible(timeout=WAIT)
        follow(page, "[id^=output-] >> nth=0")
        page.locator("summary", has_text="outputs: 2 printed").click()
        page.set_viewport_size({"width": 1100, "height": 1100})
        lab.picture(page, pictures / "figures.png")
        outputs = saved(page, path)

    notebook = json.loads(path.read_text())
    notebook["metadata"]["copied"] = True  # no signature, so no trust
    (lab_folder / "foreign.ipynb").write_text(json.dumps(notebook))
    with opened("foreign.ipynb", height=420) as page:
        expect(page.locator("[id^=output-]")).to_have_count(0)
        follow(page, "[data-jupyter-id^=output-] >> nth=0")
        assert saved(page, lab_folder / "foreign.ipynb") == outputs

    exported = HTMLExporter().from_filename(str(path))[0]  # type: ignore[no-untyped-call]
    (tmp_path / "figures.html").write_text(exported)
    with lab_tab.context.new_page() as page:
        page.set_viewport_size({"width": 1100, "height": 420})
        page.goto((tmp_path / "figures.html").as_uri())
        follow(page, "[id^=output-] >> nth=0")


def test_python_of_agent_and_user_reads_well(opened: Opened, lab_folder: Path, pictures: Path) -> None:
    """The saved example, in a front end that does not trust it."""
    example = Path(__file__).parents[3] / "notebooks" / "04_one_session.ipynb"
    (lab_folder / example.name).write_bytes(example.read_bytes())
    with opened(example.name, height=1700) as page:
        plot = page.locator(".jp-Cell", has_text="Show the residuals.").first
        plot.scroll_into_view_if_needed()
        expect(plot.locator("img")).to_be_visible()
        expect(plot.get_by_role("link", name="141", exact=True)).to_be_visible()
        lab.picture(plot, pictures / "python-plain.png")
        own = page.locator(".jp-Cell", has_text="%%python").filter(has_text="nlargest").first
        own.scroll_into_view_if_needed()
        expect(own.locator("table")).to_contain_text("Chinstrap")
        lab.picture(own, pictures / "python-own-plain.png")


def test_the_stop_button_ends_the_turn_and_keeps_what_was_done(opened: Opened, lab_folder: Path) -> None:
    write_notebook(lab_folder / "stopped.ipynb", ["wait for ever", "say hello"])
    with opened("stopped.ipynb") as page:
        lab.start_command(page, "notebook:run-cell-and-select-next")
        expect(page.locator(".agent-live-stdout")).to_contain_text("begun", timeout=WAIT)
        page.locator(".agent-live-stop").click()
        expect(page.locator(LIVE)).to_have_count(0, timeout=WAIT)
        output = page.locator(".jp-Cell").first.locator(".jp-OutputArea")
        expect(output).to_contain_text("begun")
        expect(output).to_contain_text("Stopped by you after")
        expect(output).not_to_contain_text(re.compile(r"KeyboardInterrupt|not begun|agent_kernel|exit 1"))
        page.wait_for_function(f"() => {lab.KERNEL}.status === 'idle'")
        page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")
        lab.start_command(page, "notebook:run-cell-and-select-next")
        expect(page.locator(".jp-Cell").nth(1)).to_contain_text("Hello, world.", timeout=WAIT)


def test_a_reloaded_page_catches_up_with_the_running_turn(opened: Opened, lab_folder: Path) -> None:
    write_notebook(lab_folder / "reloaded.ipynb", ["wait for ever"])
    with opened("reloaded.ipynb") as page:
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


def test_an_untrusted_notebook_still_reads_well(opened: Opened, lab_folder: Path, pictures: Path) -> None:
    """As it comes from somebody else: the sanitiser must leave the outputs legible, and nothing may run."""
    write_notebook(lab_folder / "made.ipynb", CELLS)
    with opened("made.ipynb") as page:
        lab.start_command(page, "notebook:run-all-cells")
        expect(page.locator(".jp-InputPrompt", has_text="[5]:")).to_have_count(1, timeout=WAIT)
        lab.command(page, "docmanager:save")
    notebook = json.loads((lab_folder / "made.ipynb").read_text())
    notebook["metadata"]["from"] = "elsewhere"  # other content: no signature fits
    (lab_folder / "foreign.ipynb").write_text(json.dumps(notebook))
    with opened("foreign.ipynb", height=1900) as page:
        cell = "window.jupyterapp.shell.currentWidget.context.model.cells.get(0)"
        assert page.evaluate(f"() => {cell}.trusted") is False
        call = page.locator(".jp-OutputArea-output pre", has_text="head -n 2 people.csv").first
        style = call.evaluate(
            "(e) => [getComputedStyle(e).whiteSpace, getComputedStyle(e.parentElement).borderLeftWidth]"
        )
        assert style == ["pre-wrap", "3px"]
        expect(page.locator("details > summary", has_text="Reasoning").first).to_be_visible()
        assert page.evaluate("window.hostile") is None
        lab.picture(page, pictures / "untrusted.png")


def test_money_stays_money_and_formulas_are_typeset(opened: Opened, lab_folder: Path) -> None:
    """In JupyterLab, in an untrusted copy, and marked in the page that nbconvert makes."""
    path = lab_folder / "money.ipynb"
    write_notebook(path, ["money and mathematics", "%help"])
    with opened(path.name) as page:
        lab.start_command(page, "notebook:run-all-cells")
        expect(page.locator(".jp-InputPrompt", has_text="[2]:")).to_have_count(1, timeout=WAIT)
        expect_money_and_formulas(page)
        lab.command(page, "docmanager:save")
    notebook = json.loads(path.read_text())
    notebook["metadata"]["from"] = "elsewhere"
    (lab_folder / "foreign-money.ipynb").write_text(json.dumps(notebook))
    with opened("foreign-money.ipynb") as page:
        expect_money_and_formulas(page)
        exported, _ = HTMLExporter().from_filename(str(path))  # type: ignore[no-untyped-call]
        alone = page.context.new_page()
        alone.route("**/*", lambda route: route.abort())  # MathJax 2 would come from another machine
        alone.set_content(exported, wait_until="domcontentloaded")
        assert alone.evaluate(BARE_DOLLARS) == []
        formulas = alone.locator(".tex2jax_process")
        expect(formulas).to_have_text(["$x^2$", "\\(y^2\\)", "$$ z = x^2 - y^2 $$"])
        alone.close()


BARE_DOLLARS = """() => [...document.querySelectorAll('.jp-OutputArea-output')]
  .flatMap((output) => {
    const copy = output.cloneNode(true);
    copy.querySelectorAll('.tex2jax_ignore, pre, code').forEach((each) => each.remove());
    return copy.innerText.includes('$') ? [copy.innerText] : [];
  })"""


def expect_money_and_formulas(page: Page) -> None:
    """Three formulas are typeset; all amounts are read as they were written."""
    outputs = page.locator(".jp-Cell").first.locator(".jp-OutputArea")
    expect(outputs.locator("mjx-container")).to_have_count(3, timeout=WAIT)
    expect(outputs).to_contain_text("From $200 million to $700 million, $5–$7 each.")
    expect(outputs.locator("td")).to_have_text(["$200 million", "$700 million"])
    expect(outputs.locator("details").first).to_contain_text("Is it $3 or $4?")
