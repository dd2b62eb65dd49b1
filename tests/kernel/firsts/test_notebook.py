"""Programs that people try first, in a notebook: a real kernel, a real server and real sandboxes."""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path

import pytest

from tests.egress.clients.web import WebServer
from tests.kernel.client import Notebook
from tests.kernel.firsts.conftest import allow
from tests.kernel.firsts.sites import DATA, GIT, PACKAGES, TESTS

pytestmark = pytest.mark.timeout(400)  # pip installs scipy

HEIGHTS = [171.5, 168.25, 182.0, 177.75, 165.5, 190.0, 173.25]


@pytest.fixture
def notebook(notebook_bubblewrap: Notebook) -> Notebook:
    """A reused kernel, in a new container and an empty folder."""
    notebook_bubblewrap.renew()
    return notebook_bubblewrap


@pytest.mark.bubblewrap
def test_packages_are_installed_and_used_in_later_turns(notebook: Notebook, web: WebServer) -> None:
    allow(notebook, web, PACKAGES, DATA)
    installed = notebook.run("Please install httpx in a virtual environment.").plain
    assert any(text.startswith("Installed httpx **0.") for text in installed), installed
    assert installed[-1].endswith(" more files; `%files` lists them.")
    assert not any(text.startswith("Wrote") for text in installed)
    assert "There are **7 orders**." in notebook.run("Use it: how many orders are there?").plain
    assert f"{PACKAGES}:{web.port}" in notebook.run("%network").plain[-1]


@pytest.mark.slow  # the same turns as with httpx, and a hundred megabytes to pack and unpack
@pytest.mark.bubblewrap
def test_scipy_is_installed_and_fits_a_column(notebook: Notebook, web: WebServer, scipy: None) -> None:
    allow(notebook, web, PACKAGES)
    lines = "".join(f"p{number},{height}\n" for number, height in enumerate(HEIGHTS))
    (notebook.folder / "heights.csv").write_text("person,height\n" + lines)
    fitted = notebook.run("Install scipy and fit a normal distribution to height of @heights.csv").plain
    mean, deviation = statistics.fmean(HEIGHTS), statistics.pstdev(HEIGHTS)
    said = f"The heights have mean **{mean:.4f}[a]** and standard deviation **{deviation:.4f}[b]**."
    assert any(text.startswith(said) for text in fitted), fitted


@pytest.mark.bubblewrap
def test_failing_tests_are_fixed_and_exported_as_a_patch(
    notebook: Notebook, web: WebServer, tmp_path: Path
) -> None:
    allow(notebook, web, GIT)
    found = notebook.run("Clone the shop and run its tests.").plain
    assert "Of three tests these fail: **test_discounted** and **test_total**." in found
    assert "Fixed: 3 tests pass." in notebook.run("Please fix them.").plain
    shown = notebook.run("%diff").plain[0]
    assert "`shop` since HEAD, " in shown
    assert "-    return sum(prices[1:])\n+    return sum(prices)\n" in shown
    written = notebook.run("%diff --patch fix.patch")
    assert written.plain[0].startswith("Wrote `fix.patch` (")
    clone = tmp_path / "clone"
    for words in (["clone", "-q", str(web.folder / GIT / "shop.git"), str(clone)],
                  ["-C", str(clone), "apply", str(notebook.folder / "fix.patch")]):  # fmt: skip
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (clone / "test_shop.py").read_text() == TESTS
    passed = subprocess.run(
        ["python3", "-m", "unittest"], cwd=clone, capture_output=True, text=True, check=False
    )
    assert passed.returncode == 0, passed.stderr
