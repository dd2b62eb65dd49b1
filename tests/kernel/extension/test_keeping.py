"""A kept notebook in JupyterLab after a restart, and the commands that move, replay and delete it.

Set AGENT_KERNEL_PICTURES to a folder to keep the pictures.
"""

from __future__ import annotations

import html
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.cli.command import launch
from tests.conftest import CHECKOUT
from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, cell
from tests.kernel.extension.test_branches import OTHER, run

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.slow, pytest.mark.timeout(300)]

LOOK, CLEAN = "What is in penguins.csv?", "Clean it, and keep the cleaned table for later."
COUNT = "!wc -l *.csv"
CELLS = ["%upload penguins.csv\n%model scripted/demo\n%session keep penguins", LOOK, CLEAN]
RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()"
BRIEF = r"""
turns:
  - when: Clean it
    do:
      - shell: ["grep -v NA penguins.csv > complete.csv", "tail -n +2 complete.csv | wc -l"]
      - say: "`complete.csv` has the **{kept} birds** without `NA`."
        quote: {kept: '^(\d+)$'}
"""
CAREFUL = r"""
turns:
  - when: Clean it
    do:
      - tool:
          type: code_interpreter
          arguments:
            code: |-
              import pandas as pd

              birds = pd.read_csv("penguins.csv")
              measured = birds.dropna(subset=["body_mass_g"])
              measured.to_csv("measured.csv", index=False)
              print(f"kept {len(measured)} of {len(birds)}")
      - say: "`measured.csv` has the **{kept} birds** that were measured, also those of unknown sex."
        quote: {kept: 'kept (\d+)'}
"""
MACHINE, HOME = "laptop", "/home/ada"
"""What stands in pictures for the name of this machine, and for the folder of the test."""
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; background: #fff; }
pre { margin: 0; padding: 16px; width: 112ch; font: 14px/1.45 monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
</style><pre>"""


@pytest.fixture
def here(own_environment: dict[str, str], kernel_data: Path) -> Iterator[dict[str, str]]:
    """The environment for commands on the kernels' store; the session `penguins` is deleted at the end."""
    environment = {
        **own_environment,
        "AGENT_KERNEL_DATA_DIR": str(kernel_data),
        "AGENT_KERNEL_SANDBOX": "bubblewrap",
    }
    yield environment
    launch("session", "delete", "penguins", "--yes", environment=environment)


@pytest.fixture
def there(own_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of another machine: a data folder of its own. Its containers are removed at the end."""
    environment = {**own_environment, "AGENT_KERNEL_SANDBOX": "bubblewrap"}
    yield environment
    launch("containers", "rm", "--all", environment=environment)


@pytest.fixture
def home(lab_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of JupyterLab for this test, with a table."""
    folder: Path = lab_folder / request.node.name
    folder.mkdir()
    shutil.copy(CHECKOUT / "notebooks" / "data" / "penguins.csv", folder)
    return folder


@pytest.fixture
def notebook(home: Path) -> str:
    return f"{home.name}/penguins.ipynb"


@pytest.mark.usefixtures("here")
def test_restarted_notebook_says_what_is_back(opened: Opened, notebook: str, pictures: Path) -> None:
    cells = [*CELLS, OTHER, "%session list"]
    with opened(notebook, cells, kernel="agent-demo", width=1100, height=720) as page:
        run(page, 0, 1, 2)
        page.evaluate(RESTART)
        run(page, 3, 4)
        asked, listed = cell(page, 3), cell(page, 4)
        expect(asked).to_contain_text("Resumed session penguins, kept", timeout=WAIT)
        expect(asked).to_contain_text(
            "files, packages, shell state, conversation and the history of 3 cells are back."
        )
        expect(asked.get_by_role("table")).to_contain_text("Chinstrap")
        row = listed.locator("tbody td")
        expect(row).to_contain_text(["penguins", "sess_", f"{socket.gethostname()}:/", "", "this notebook"])
        row.nth(2).evaluate(
            "(cell, shown) => { cell.textContent = shown; }", f"{MACHINE}:{HOME}/penguins.ipynb"
        )
        asked.evaluate("(cell) => cell.scrollIntoView({ block: 'start' })")
        page.mouse.move(0, 0)
        lab.picture(page, pictures / "keeping.png")


class Terminal:
    """Runs commands in a folder, and writes them with their results as a terminal shows them.

    Progress, which a terminal overwrites, is left out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.text = ""

    def run(self, machine: str, environment: dict[str, str], command: str) -> None:
        done = launch(*command.split()[1:], environment=environment, cwd=self._folder)
        assert done.returncode == 0, done.stderr
        printed = done.stdout.replace(str(self._folder), HOME).replace(
            f"{socket.gethostname()}:", f"{MACHINE}:"
        )
        self.text += f"{machine}:~$ {command}\n{printed}\n"

    def page(self) -> str:
        lines = self.text.splitlines()
        shown = [f"<b>{html.escape(line)}</b>" if ":~$ " in line else html.escape(line) for line in lines]
        return TERMINAL + "\n".join(shown[:-1])


def test_commands_move_and_delete_a_session(
    opened: Opened,
    context: BrowserContext,
    home: Path,
    notebook: str,
    here: dict[str, str],
    there: dict[str, str],
    pictures: Path,
) -> None:
    with opened(notebook, CELLS, kernel="agent-demo") as page:
        run(page, 0, 1, 2)
    terminal = Terminal(home)
    terminal.run(MACHINE, here, "agent-kernel session list")
    terminal.run(MACHINE, here, "agent-kernel session export penguins penguins.session")
    terminal.run("server", there, "agent-kernel session import penguins.session")
    terminal.run(MACHINE, here, "agent-kernel session delete penguins --yes")
    with context.new_page() as page:
        page.set_content(terminal.page())
        shown = page.locator("pre")
        expect(shown).to_contain_text(f"{HOME}/penguins.session: ")
        expect(shown).to_contain_text("To go on, run in a notebook: %session resume sess_")
        expect(shown).to_contain_text(f"the archive {HOME}/penguins.session")
        expect(shown).to_contain_text("A search of the store and of the engine found nothing else.")
        assert str(home.parents[1]) not in terminal.text
        lab.picture(shown, pictures / "moving.png")


def test_replay_shows_models_side_by_side(
    opened: Opened,
    context: BrowserContext,
    home: Path,
    notebook: str,
    here: dict[str, str],
    pictures: Path,
) -> None:
    models = []
    for name, text in {"brief": BRIEF, "careful": CAREFUL}.items():
        (home / f"{name}.yaml").write_text(text)
        models += ["--model", f"scripted/{home / name}.yaml"]
    with opened(notebook, [CELLS[0], CLEAN, COUNT], kernel="agent-demo") as page:
        run(page, 0, 1, 2)
    words = ["session", "replay", "penguins", *models, "--output", "replay.html"]
    done = launch(*words, environment=here, cwd=home)
    assert done.returncode == 0, done.stderr
    with context.new_page() as page:
        page.set_viewport_size({"width": 1000, "height": 900})
        page.goto((home / "replay.html").as_uri())
        rows = page.locator("h2 + table > tbody > tr")
        expect(rows.nth(2).locator("td")).to_contain_text(["342 birds", "334 birds", "342 birds"])
        for each in page.locator("summary").all()[1:]:
            each.click()
        counted = ["343 penguins_clean.csv", "335 complete.csv", "343 measured.csv"]
        expect(rows.nth(4).locator("td")).to_contain_text(counted)
        lab.picture(page.locator("html"), pictures / "export.png")
