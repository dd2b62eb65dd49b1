"""No output runs script, fetches anything or breaks out: hostile texts and files in a real Chromium.

In JupyterLab with the extension, trusted and untrusted, and as the page that nbconvert makes. Everything is
hovered over and clicked, but for plain web links, which are there to be followed. Tables are explored, and
charts are drawn.
"""

from __future__ import annotations

import json
import random
import shlex
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.sign import NotebookNotary
from playwright.sync_api import Browser, Dialog, Frame, Page

from agent_kernel.kernel.render.bundles import Bundle, note, table
from agent_kernel.kernel.render.files import pages, pictures
from agent_kernel.kernel.render.items import render_all, render_item
from agent_kernel.kernel.render.text import code
from tests.kernel import lab
from tests.kernel.client import Notebook
from tests.kernel.hostile.canary import Canary, canary
from tests.kernel.hostile.charts import chart_outputs
from tests.kernel.hostile.conftest import Ran
from tests.kernel.hostile.corpus import COMMAND, MARKDOWN, MARKUP, NAMES, PAGES, PICTURES, TEXTS
from tests.kernel.hostile.tools import TOUCH, ask, draw, explore

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(900)]

MOST = 60
"""Outputs of hostile code, of each cell: one displays hundreds, and the page takes all."""

PART = 0.3
"""Share of the outputs in the notebook that every run opens in JupyterLab."""

WAIT = 90_000.0
"""Milliseconds: how long a page may take on a busy machine."""


@pytest.fixture(scope="module")
def trap(missing: Callable[[str], NoReturn]) -> Iterator[Canary]:
    if lab.CHROMIUM is None:
        missing("There is no Chromium. Install it with: apt-get install chromium")
    with canary() as server:
        yield server


@pytest.fixture(autouse=True)
def _nobody_comes(trap: Canary) -> None:
    trap.visits.clear()


# --- the corpus as a notebook ------------------------------------------------------------------------------


def items(text: str) -> list[dict[str, Any]]:
    """Everything that a model or a command can say, saying this."""
    part = {"stdout": text, "stderr": text, "outcome": {"type": "exit", "exit_code": 1}}
    content = [{"type": "output_text", "text": text}, {"type": "refusal", "refusal": text}]
    return [
        {"type": "message", "id": text, "content": content},
        {"type": "reasoning", "id": "rs", "summary": [{"text": text}]},
        {"type": "shell_call", "id": "sh", "action": {"commands": [text, f"{text}\n" * 20]}},
        {"type": "shell_call_output", "id": "sho", "output": [part, {**part, "stdout": f"{text}\n" * 60}]},
        {"type": "mcp_approval_request", "id": "ap", "name": text, "server_label": text, "arguments": text},
        {"type": text, "id": "x", text: text},
    ]


def displays(text: str, *, is_markup: bool) -> dict[str, Any]:
    """A call whose code prints, raises and displays this, in every form that a display may have."""
    forms: list[dict[str, Any]] = [{"text/latex": text}]
    if is_markup:
        forms.append({"text/html": text, "text/plain": text})
        forms.append({"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg'>{text}</svg>"})
    chart = {"application/vnd.vegalite.v5+json": {"data": {"url": text}}, "application/javascript": text}
    forms.append({"image/png": text, "image/jpeg": f"{text}=", "text/plain": text, text: text, **chart})
    outputs = [{"output_type": "display_data", "data": data, "metadata": {text: text}} for data in forms]
    printed = {"output_type": "stream", "name": text, "text": text}
    raised = {"output_type": "error", "ename": text, "evalue": text, "traceback": [text, text]}
    ours = {"outputs": [printed, raised, *outputs]}
    return {"type": "code_interpreter_call", "id": "ci", "code": text, "agent_kernel": ours}


def bundles(address: str) -> Iterator[Bundle]:
    for text in TEXTS:
        there = text.replace("CANARY", address)
        yield from filter(None, map(render_item, items(there)))
        yield from render_all(displays(there, is_markup=text in MARKUP))
        yield table([there], [[there]], code(there), [there]).bundle()
        yield note(f"Wrote {code(there)}")
    for name, page in zip(TEXTS, PAGES, strict=False):
        yield pages.frame(name, page.replace("CANARY", address), 100)
    for svg in PICTURES:
        drawn = pictures.picture(MARKUP[0], svg.replace("CANARY", address).encode(), "image/svg+xml")
        assert drawn is not None
        yield drawn


@pytest.fixture(scope="module")
def written(shared: Notebook, trap: Canary) -> list[dict[str, Any]]:
    """Outputs of the real kernel for files with such names and contents."""
    files = dict.fromkeys(NAMES, "x")
    files |= {
        f"{n} {name[:20]}.csv": f"a,{cell}\n1,{cell}\n"
        for n, (name, cell) in enumerate(zip(NAMES, MARKUP, strict=False))
    }
    files |= {f"{n}.json": json.dumps([{cell: cell}]) for n, cell in enumerate(MARKDOWN)}
    files |= {"hostile.html": PAGES[0], "hostile.svg": PICTURES[0]}
    files = {
        name.replace("/", ""): content.replace("CANARY", trap.address) for name, content in files.items()
    }
    shown = []
    for names in (list(files)[n : n + 10] for n in range(0, len(files), 10)):
        program = "import json; [open(n, 'w').write(c) for n, c in json.loads(input()).items()]"
        given = json.dumps({name: files[name] for name in names})
        result = shared.run(f"!python3 -c {shlex.quote(program)} <<< {shlex.quote(given)}")
        assert result.reply["status"] == "ok", result.reply
        shown += result.final
    return shown


@pytest.fixture(scope="module")
def all_outputs(
    trap: Canary, written: list[dict[str, Any]], runs_hostile_code: Callable[[str], Ran]
) -> list[dict[str, Any]]:
    """All that is hostile, but for charts."""
    outputs = [
        {"output_type": "display_data", "data": bundle.data, "metadata": bundle.metadata}
        for bundle in bundles(trap.address)
    ]
    outputs += [{"output_type": "display_data", **{k: o[k] for k in ("data", "metadata")}} for o in written]
    for shown in runs_hostile_code(trap.address).values():
        outputs += shown[:MOST]
    return outputs


def notebook_of(outputs: list[dict[str, Any]], address: str) -> Any:
    """Make a notebook of these outputs, some forty to a cell, and of charts."""
    made = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    made.metadata.kernelspec = {"name": "agent", "display_name": "Agent", "language": "agent"}
    for n in range(0, len(outputs), 40):
        cell = nbformat.v4.new_code_cell("!true", outputs=outputs[n : n + 40])  # type: ignore[no-untyped-call]
        made.cells.append(nbformat.from_dict(cell))  # type: ignore[no-untyped-call]
    charts = nbformat.v4.new_code_cell("!true", outputs=chart_outputs(address))  # type: ignore[no-untyped-call]
    made.cells.append(nbformat.from_dict(charts))  # type: ignore[no-untyped-call]
    return made


# --- looking, hovering and clicking ------------------------------------------------------------------------

WATCH = """() => {
  window.__ran = [];
  window.jupyterapp?.commands.commandExecuted.connect((_, args) => window.__ran.push(args.id));
}"""
LOOSE = """() => [...document.querySelectorAll('.jp-OutputArea-output *')]
  .filter((element) => ['fixed', 'sticky'].includes(getComputedStyle(element).position))
  .map((element) => element.outerHTML.slice(0, 200))"""


def isolated(notebook: Any) -> int:
    """How many pages and displays of the notebook are in frames."""
    data = [output.get("data", {}) for cell in notebook.cells for output in cell.outputs]
    return sum(each.get("text/html", "").count("<iframe sandbox height=") for each in data)


def wait_for_frames(page: Page, count: int) -> None:
    """Until each page of the corpus, and that of the sandbox, stands in its two frames and has been read."""
    deadline = time.monotonic() + WAIT / 1000
    while len(page.frames) < 1 + 2 * count:
        assert time.monotonic() < deadline, f"{len(page.frames)} frames"
        page.wait_for_timeout(100)
    for frame in page.frames:
        frame.wait_for_load_state("domcontentloaded", timeout=WAIT)


def touch(page: Page) -> int:
    """Hover over and click all that is in the outputs, within frames too; returns how much that was."""
    touched: int = page.evaluate(
        f"() => [...document.querySelectorAll('.jp-OutputArea-output')].map({TOUCH}).reduce((a, b) => a + b)"
    )
    for frame in page.frames:
        if frame.parent_frame is not None and frame.parent_frame.parent_frame is not None:
            touched += _click_in(frame)
    return touched


@pytest.fixture(scope="module")
def browser(trap: Canary) -> Iterator[Browser]:
    """A Chromium as people have it, that finds nobody but this machine: exported pages ask for MathJax."""
    lab.SHARED.close()
    with lab.chromium(whole=True) as browser:
        yield browser


@pytest.fixture(scope="module")
def lab_tab(browser: Browser) -> Iterator[Page]:
    """One page for both notebooks: to load JupyterLab takes long."""
    with browser.new_context() as context:
        yield context.new_page()


def _dismiss(seen: list[str], dialog: Dialog) -> None:
    seen.append(dialog.message)
    dialog.dismiss()


def _click_in(frame: Frame) -> int:
    """Click the first thing that can be clicked: whatever it leads to would take the page's place."""
    targets = frame.locator(":is(a, no-a, img[usemap], input, button, text):visible")
    if not targets.count():
        return 0
    targets.first.click(force=True, timeout=WAIT, no_wait_after=True)
    return 1


@pytest.fixture(scope="module")
def notebooks(all_outputs: list[dict[str, Any]], trap: Canary) -> dict[str, Any]:
    """The notebooks that JupyterLab opens. `part` has some outputs of all kinds."""
    found = {name: notebook_of(all_outputs, trap.address) for name in ("trusted", "untrusted")}
    drawn = random.Random(1)
    part = [output for output in all_outputs if drawn.random() < PART]
    return {**found, "part": notebook_of(part, trap.address)}


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory, jupyter_path: Path, notebooks: dict[str, Any], built: Path
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hostile")
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    tracker = {"windowingMode": "none", "maxNumberOutputs": 1_000}
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps(tracker))
    root = tmp_path_factory.mktemp("notebooks")
    (folder / "data").mkdir()
    notary = NotebookNotary(data_dir=str(folder / "data"))  # type: ignore[no-untyped-call]
    for name, notebook in notebooks.items():
        notebook.metadata["name"] = name  # so that a signature fits this one only
        if name != "untrusted":
            notary.sign(notebook)  # type: ignore[no-untyped-call]
        nbformat.write(notebook, root / f"{name}.ipynb")  # type: ignore[no-untyped-call]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(jupyter_path))
        with lab.lab_server(root, folder, extension=built) as address:
            yield address


@pytest.mark.parametrize(
    "name",
    [
        # The page below, in which nothing is sanitised either, has every text in every form.
        "part",
        pytest.param("trusted", marks=pytest.mark.slow),
        # There JupyterLab's sanitiser stands before everything, so that less can happen.
        pytest.param("untrusted", marks=pytest.mark.slow),
    ],
)
def test_in_jupyterlab(
    address: str, lab_tab: Page, notebooks: dict[str, Any], trap: Canary, name: str
) -> None:
    dialogs: list[str] = []
    trusted = name != "untrusted"
    opened: list[Page] = []
    dismiss = partial(_dismiss, dialogs)

    def opens(new: Page) -> None:
        opened.append(new)

    with lab.notebook_in(lab_tab, address, f"{name}.ipynb") as page:
        page.on("dialog", dismiss)
        page.context.on("page", opens)
        model = "window.jupyterapp.shell.currentWidget.context.model.cells.get(0)"
        assert page.evaluate(f"() => {model}.trusted") is trusted
        page.wait_for_function("() => document.querySelectorAll('mjx-container').length > 3", timeout=WAIT)
        page.evaluate(WATCH)
        place = page.url
        assert page.evaluate(LOOSE) == []
        if trusted:
            wait_for_frames(page, isolated(notebooks[name]))
        else:
            assert page.frames == [page.main_frame]
        assert touch(page) > 3_000 * (PART if name == "part" else 1)
        explore(page)
        draw(page)
        ask(page)
        assert page.url == place
        assert [page.evaluate("window.__canary"), *dialogs] == [None]
        assert COMMAND not in page.evaluate("window.__ran")
        assert page.locator(".jp-Dialog").count() == 0
        assert page.locator("#jupyterapp, [name=jupyterapp]").count() == 0
        assert opened == []
        page.context.remove_listener("page", opens)
        page.remove_listener("dialog", dismiss)
    assert trap.visits == []


def test_as_the_page_that_nbconvert_makes(
    all_outputs: list[dict[str, Any]], browser: Browser, trap: Canary
) -> None:
    notebook = notebook_of(all_outputs, trap.address)
    exported, _ = HTMLExporter(template_name="lab").from_notebook_node(notebook)  # type: ignore[no-untyped-call]
    dialogs: list[str] = []
    with canary() as host, browser.new_page() as page:
        host.pages["/"] = exported.encode("utf-8", "replace")
        page.on("dialog", partial(_dismiss, dialogs))
        page.goto(host.address, wait_until="domcontentloaded", timeout=WAIT)
        wait_for_frames(page, isolated(notebook))
        assert touch(page) > 3_000
        assert page.url == f"{host.address}/"
        assert [page.evaluate("window.__canary"), *dialogs] == [None]
    assert trap.visits == []


def test_the_trap_does_catch(browser: Browser, trap: Canary) -> None:
    """Were a text of the corpus shown as it is, the tests above would say so."""
    fetched, ran = MARKUP[2], MARKUP[1]
    with canary() as host, browser.new_page() as page:
        host.pages["/"] = f"<!doctype html>{fetched}{ran}".replace("CANARY", trap.address).encode()
        page.goto(host.address, timeout=WAIT)
        page.wait_for_function("window.__canary === 1", timeout=WAIT)
        assert trap.visited.wait(WAIT / 1000)
    assert "/img.png" in trap.visits
