"""Five cells in JupyterLab, of which the second is run again: here and on a server, on each sandbox."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.forked import serve
from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import CONTENT, WAIT, cell, start
from tests.kernel.upstream import Played, played

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CELLS = [
    "!printf 'name,grams\\nAda,4000\\nBea,4100\\n' >birds.csv; export UNIT=g",
    "!echo Cleo,4200 >>birds.csv; export UNIT=kg; cd /tmp",
    "%%python\nmean = 4100",
    "How heavy are the birds?",
    "!touch /mnt/data/late.txt",
    '!!cat /mnt/data/birds.csv; ls /mnt/data; echo "$UNIT in $PWD"',
    "And which is the lightest?",
]
EDITED = "!echo Dora,4300 >>birds.csv"
LOOK, LATER, LAST = 5, (2, 3, 4), 6
KEY = "key-of-the-tests"


@contextmanager
def kernelspec(page: Page, jupyter_path: Path, name: str, **settings: str) -> Iterator[str]:
    """A kernelspec of the tests' with further settings in its environment; its name. The page knows it."""
    folder = jupyter_path / "kernels" / f"agent-{name}"
    shutil.copytree(jupyter_path / "kernels" / "agent-demo", folder)
    spec = json.loads((folder / "kernel.json").read_text())
    spec["env"] |= settings
    (folder / "kernel.json").write_text(json.dumps(spec))
    try:
        if page.url != lab.EMPTY:
            page.evaluate("() => window.jupyterapp.serviceManager.kernelspecs.refreshSpecs()")
        yield folder.name
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def upstream() -> Iterator[Played]:
    with played() as server:
        yield server


@pytest.fixture(
    params=[
        pytest.param(("here", "bubblewrap"), marks=pytest.mark.bubblewrap),
        pytest.param(("server", "bubblewrap"), marks=pytest.mark.bubblewrap),
        pytest.param(("here", "docker"), marks=[pytest.mark.docker, pytest.mark.slow]),
        pytest.param(("server", "docker"), marks=[pytest.mark.docker, pytest.mark.slow]),
    ],
    ids="-".join,
)
def kernel(
    request: pytest.FixtureRequest, upstream: Played, lab_tab: Page, jupyter_path: Path, kernel_data: Path
) -> Iterator[str]:
    """A kernelspec whose cells run here or on a server, in that kind of sandbox, and ask `upstream`."""
    where, sandbox = request.param
    if sandbox == "docker":
        request.getfixturevalue("docker_engine")
    runtime = {
        "AGENT_KERNEL_SANDBOX": sandbox,
        "AGENT_KERNEL_DATA_DIR": str(kernel_data),
        "AGENT_KERNEL_MODEL": "chat/played",
        "AGENT_KERNEL_UPSTREAM_URL": upstream.url,
        "AGENT_KERNEL_UPSTREAM_KEY": "sk-of-the-tests",
    }
    if where == "here":
        with kernelspec(lab_tab, jupyter_path, f"here-{sandbox}", **runtime) as name:
            yield name
        return
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_KERNEL_")}
    process, url = serve(environment={**kept, **runtime, "AGENT_KERNEL_API_KEY": KEY})
    try:
        remote = {"AGENT_KERNEL_RUNTIME_URL": url, "AGENT_KERNEL_API_KEY": KEY}
        with kernelspec(lab_tab, jupyter_path, f"server-{sandbox}", **remote) as name:
            yield name
    finally:
        process.terminate()
        process.wait(60)


def run(page: Page, number: int) -> Locator:
    """Run a cell that takes a new number; its outputs."""
    before = cell(page, number).locator(".jp-InputPrompt").inner_text()
    prompt = start(page, number).locator(".jp-InputPrompt")
    expect(prompt).not_to_have_text(before, timeout=WAIT)
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=WAIT)
    return cell(page, number).locator(".jp-OutputArea")


def conversation(page: Page, number: int, upstream: Played) -> str:
    """Run a prompt; what the model gets."""
    run(page, number)
    return json.dumps(upstream.requests[-1]["messages"])


def test_second_of_five_cells_is_edited_and_run_again(
    opened: Opened, kernel: str, upstream: Played, pictures: Path
) -> None:
    with opened(f"{kernel}.ipynb", CELLS, kernel=kernel, width=1300, height=1000) as page:
        for number in range(5):
            run(page, number)
        notes = page.locator(".jp-agent-stale-note")
        expect(notes).to_have_count(0)
        page.evaluate(f"(s) => {CONTENT}.widgets[1].model.sharedModel.setSource(s)", EDITED)
        went = run(page, 1)
        expect(went).to_contain_text("the work of 3 later cells is kept as branch b2.", timeout=WAIT)
        expect(went).to_contain_text("Variables of Python and R are lost: mean")
        for number in LATER:
            expect(cell(page, number).locator(".jp-agent-stale-note")).to_be_visible(timeout=WAIT)
        expect(notes).to_have_count(len(LATER))
        lab.command(page, "agent-kernel:show-history")
        panel = page.locator(".jp-agent-history")
        expect(panel.locator(".jp-agent-history-cell")).to_have_count(6, timeout=WAIT)
        lab.picture(page, pictures / f"edited-{kernel}.png")

        looked = run(page, LOOK)
        for there in ("Bea,4100", "Dora,4300", "g in /mnt/data"):
            expect(looked).to_contain_text(there)
        for gone in ("Cleo", "late.txt", "kg in"):
            expect(looked).not_to_contain_text(gone)
        known = conversation(page, LAST, upstream)
        assert "Dora,4300" in known
        assert not [word for word in ("Cleo", "How heavy", "late.txt") if word in known]

        panel.get_by_role("button", name="Compare b2 with the branch in use").press("Enter")
        rows = page.locator(".jp-agent-comparison .jp-agent-rows > tbody > tr")
        expect(rows.first.locator("td")).to_contain_text(["Dora,4300", "Cleo,4200"], timeout=WAIT)
        expect(rows).to_have_count(5)
        lab.picture(page, pictures / f"compared-{kernel}.png")
        rows.first.get_by_role("button", name="Cell [2]").press("Enter")

        panel.get_by_role("button", name="Open branch b2").press("Enter")
        expect(panel).to_contain_text("Now on branch b2, as it was left; branch b1 is kept.", timeout=WAIT)
        expect(cell(page, LAST).locator(".jp-agent-stale-note")).to_be_visible(timeout=WAIT)
        expect(notes).to_have_count(1)
        looked = run(page, LOOK)
        for there in ("Cleo,4200", "late.txt", "kg in /tmp"):
            expect(looked).to_contain_text(there)
        expect(looked).not_to_contain_text("Dora")
        known = conversation(page, LAST, upstream)
        assert not [word for word in ("Cleo", "How heavy", "late.txt") if word not in known]
        assert "Dora" not in known
