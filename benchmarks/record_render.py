"""How long a record takes to be shown by the extension, beside JupyterLab's own HTML renderer.

    python -m benchmarks.record_render [--runs 7] [--json]

A notebook with 200 items is opened again and again in two pages of one Chromium, in turn: with the extension,
until each output has its buttons and each cell is folded, and without it, until each output is in the page.
The kernel runs already. The budget is 1.3 times as long, of the medians; the exit status is 1 where it is
exceeded. What a page loads of the extension is printed too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks.kernelspec import CHECKOUT, write_kernelspec
from tests.kernel import lab
from tests.kernel.extension.records import bundles, message, shell_call, shell_output, write_record

BUDGET = 1.3
ITEMS = 200
CELLS = 20
NAME = "record.ipynb"
BUILT = CHECKOUT / "extension" / "labextension"

OPEN = """async ([path, wanted, buttons]) => {
  const { commands, shell } = window.jupyterapp;
  const begun = performance.now();
  const open = await commands.execute("docmanager:open", { path });
  const node = open.content.node;
  const shown = () => {
    const outputs = [...node.querySelectorAll(".jp-OutputArea-output")];
    const found = outputs.filter((each) => each.firstElementChild);
    const dressed = node.querySelectorAll(".jp-agent-tools, .jp-agent-fold").length;
    return found.length >= wanted && dressed >= buttons;
  };
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  while (!shown()) await frame();
  await frame();
  const took = performance.now() - begun;
  await open.context.ready;
  open.dispose();
  return took;
}"""


def prepare(root: Path) -> None:
    """Write the kernelspec, the notebook, and settings with which all cells of a notebook are drawn."""
    write_kernelspec(root, {"name": "nothing", "turns": [{"when": "nothing", "do": [{"say": "Nothing."}]}]})
    (root / "notebooks").mkdir()
    per_cell = ITEMS // CELLS
    steps = [
        part
        for n in range((per_cell - 1) // 2 + 1)
        for part in (
            shell_call(f"python3 - <<'EOF'\nfor n in range({n}):\n    print(n)\nEOF", "ls -l | wc -l"),
            shell_output("".join(f"\x1b[32mline\x1b[0m {line}\n" for line in range(20))),
        )
    ]
    items = [*steps[: per_cell - 1], message("# Found\n\n" + "It has **42** rows of `a`.\n\n" * 3)]
    write_record(root / "notebooks" / NAME, [bundles(*items, seconds=1.0) for _ in range(CELLS)])
    settings = root / "lab" / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))


@contextmanager
def opened(browser: Browser, address: str, *, extended: bool) -> Iterator[Page]:
    """A page of JupyterLab that has had the notebook open, so that its kernel runs."""
    with browser.new_context() as context, context.new_page() as page:
        if not extended:
            page.route(f"**/lab/extensions/{lab.EXTENSION}/**", lambda route: route.abort())
        lab.load(page, address, NAME)
        page.wait_for_function(f"() => {lab.KERNEL}?.status === 'idle'", timeout=lab.START_MILLISECONDS)
        page.evaluate(f"() => {lab.WIDGET}.dispose()")
        yield page


def measure(runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds to show the record, with the extension and without it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        prepare(root)
        os.environ["JUPYTER_PATH"] = str(root / "share")
        with (
            lab.lab_server(root / "notebooks", root / "lab", extension=BUILT) as address,
            lab.chromium() as browser,
            opened(browser, address, extended=True) as ours,
            opened(browser, address, extended=False) as plain,
        ):
            pairs = [
                (ours.evaluate(OPEN, [NAME, ITEMS, ITEMS]), plain.evaluate(OPEN, [NAME, ITEMS, 0]))
                for _ in range(runs + 1)
            ][1:]
            ours.evaluate(lab.SHUT_DOWN)
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def sizes() -> dict[str, int]:
    """Bytes after gzip of the extension's scripts, by name."""
    scripts = sorted((BUILT / "static").glob("*.js"))
    return {path.name.split(".")[0]: len(gzip.compress(path.read_bytes())) for path in scripts}


def main() -> int:
    """Measure, print, and compare with the budget."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    ours, plain = (statistics.median(found) for found in measure(arguments.runs))
    ratio = ours / plain
    if arguments.json:
        print(json.dumps({"ours": ours, "plain": plain, "ratio": ratio, "budget": BUDGET, "sizes": sizes()}))
    else:
        print(f"a record of {ITEMS} items, medians of {arguments.runs} times")
        print(f"with the extension {ours:.0f} ms, JupyterLab alone {plain:.0f} ms: {ratio:.2f} times")
        print("kB after gzip: " + ", ".join(f"{name} {size / 1000:.0f}" for name, size in sizes().items()))
        print(f"at most {BUDGET} times: {'met' if ratio <= BUDGET else 'NOT met'}")
    return int(ratio > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
