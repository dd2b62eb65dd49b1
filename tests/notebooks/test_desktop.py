"""The example with a desktop gives its saved outputs, apart from the pixels of its pictures."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import nbformat
import pytest

from tests.conftest import CHECKOUT
from tests.notebooks.conftest import Environment
from tests.notebooks.saved import assert_equal, read, saved
from tests.notebooks.test_examples import nothing_left, run, without_pictures

NAME = "05_web_form"

pytestmark = [pytest.mark.timeout(300), pytest.mark.bubblewrap]


@pytest.mark.slow
async def test_run_equals_saved(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "bubblewrap")
    assert_equal(without_pictures(await run(NAME)), without_pictures(saved(NAME)))
    nothing_left(environment)


@pytest.mark.slow
def test_nbval_accepts_it(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "bubblewrap")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    path = CHECKOUT / "notebooks" / f"{NAME}.ipynb"
    options = ["-p", "nbval.plugin", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={path.parent}"]
    command = [sys.executable, "-m", "pytest", "-q", *options, "--nbval", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    turns = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert done.returncode == 0, done.stdout
    assert f"{len(turns)} passed" in done.stdout


def test_saved_record_reads_without_a_kernel() -> None:
    """Each call has its caption and one small picture, no picture is in an item, and the order arrived."""
    example = read(CHECKOUT / "notebooks" / f"{NAME}.ipynb")
    nbformat.validate(example)
    outputs = [output for cell in example.cells for output in cell.get("outputs", [])]
    texts = [output["data"]["text/plain"] for output in outputs]
    assert sum(text.startswith("Computer: ") for text in texts) == 4
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output["data"]]
    assert len(pictures) == 4
    assert all(len(picture) < 100_000 for picture in pictures)
    assert "data:image" not in (CHECKOUT / "notebooks" / f"{NAME}.ipynb").read_text()
    assert any(
        re.search("Order 1 is for .*Ada Lovelace.*, Grüne Straße 7 in Köln: 3 lamps", text) for text in texts
    )
