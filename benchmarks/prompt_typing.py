"""What a key costs in a prompt cell, beside a Markdown cell with the same text on the same page.

    python -m benchmarks.prompt_typing [--pairs 30] [--json]

A real JupyterLab with the built extension, in Chromium. A key is a character put in at the end as the browser
does it, until the editor and everything that listens to it are done and the page is laid out. The cells take
turns, 10 keys each; the figure is the median of the ratios of these pairs. The budget is 1.2; the exit status
is 1 where it is exceeded. The sizes of the bundle are printed too: what a page loads at first, and what it
loads later.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.kernel import lab
from tests.kernel.notebooks import write_notebook

BUDGET = 1.2
CHECKOUT = Path(__file__).parents[1]
BUILT = CHECKOUT / "extension" / "labextension"
TEXT = "Compare the ages in @people.csv with last year, by town.\nWrite the result to results.csv.\n" * 8

TYPE = """async ([number, keys]) => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = number;
  const view = notebook.widgets[number].editor.editor;
  view.focus();
  view.dispatch({selection: {anchor: view.state.doc.length}});
  const {port1, port2} = new MessageChannel();
  const turn = () => new Promise((resolve) => { port1.onmessage = resolve; port2.postMessage(null); });
  await turn();
  const start = performance.now();
  for (let key = 0; key < keys; key++) {
    document.execCommand("insertText", false, "ab c"[key % 4]);
    await turn();
    view.contentDOM.getBoundingClientRect();
  }
  return (performance.now() - start) / keys;
}"""
LOADED = """() => performance.getEntriesByType("resource").map((each) => new URL(each.name).pathname)"""


def prepare(root: Path) -> None:
    """Write a kernelspec that needs no sandbox, and a notebook with a prompt and a Markdown cell."""
    folder = root / "share" / "kernels" / "agent"
    folder.mkdir(parents=True)
    spec = json.loads((CHECKOUT / "agent_kernel" / "kernel" / "spec" / "kernel.json").read_text())
    spec["argv"][0] = sys.executable
    spec["env"] = {"AGENT_KERNEL_DATA_DIR": str(root / "data"), "PYTHONPATH": str(CHECKOUT)}
    (folder / "kernel.json").write_text(json.dumps(spec))
    path = root / "notebooks" / "typing.ipynb"
    path.parent.mkdir()
    write_notebook(path, [TEXT, TEXT])
    notebook = json.loads(path.read_text())
    notebook["cells"][1] = {"cell_type": "markdown", "id": "prose", "metadata": {}, "source": TEXT}
    path.write_text(json.dumps(notebook))


def ratios(page: Page, pairs: int) -> list[float]:
    """Type in both cells in turns; the ratio of each pair."""
    expect(page.locator("[data-agent-kind='prompt']")).to_have_count(1, timeout=60_000)
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.widgets[1].rendered = false; }")
    expect(page.locator(".jp-MarkdownCell .cm-content")).to_be_visible()
    for number in (0, 1):
        page.evaluate(TYPE, [number, 40])  # warms up both
    return [page.evaluate(TYPE, [0, 10]) / page.evaluate(TYPE, [1, 10]) for _ in range(pairs)]


def sizes(page: Page) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes after gzip of the files that this page has loaded, and of those that it has not, by name."""
    loaded = {Path(path).name for path in page.evaluate(LOADED)}
    all_files = {
        path.name: len(gzip.compress(path.read_bytes()))
        for path in (BUILT / "static").iterdir()
        if path.suffix in (".js", ".css")
    }
    first = {name: size for name, size in all_files.items() if name in loaded}
    return first, {name: size for name, size in all_files.items() if name not in loaded}


def main() -> int:
    """Measure, print, and compare with the budget."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        prepare(root)
        os.environ["JUPYTER_PATH"] = str(root / "share")
        with (
            lab.lab_server(root / "notebooks", root / "lab", extension=BUILT) as address,
            lab.lab_page(address, "typing.ipynb") as page,
        ):
            found = sorted(ratios(page, arguments.pairs))
            first, later = sizes(page)
    median = statistics.median(found)
    if arguments.json:
        print(json.dumps({"ratios": found, "median": median, "first_load": first, "lazy": later}))
    else:
        print("a key in a prompt cell / in a Markdown cell, pairs:", *(f"{each:.2f}" for each in found))
        print(f"median {median:.2f}; at most {BUDGET}: {'met' if median <= BUDGET else 'NOT met'}")
        print(f"first load {sum(first.values()) / 1000:.1f} kB after gzip, {len(first)} files")
        for each, size in sorted(later.items(), key=lambda item: -item[1]):
            print(f"  later {each}: {size / 1000:.1f} kB")
    return int(median > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
