"""Inspect's self check of a sandbox, and a small evaluation, on each of our backends.

Inspect brings many packages, so it has a separate environment in the cache, installed once per lock.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.clients.cache import folder_for, installed
from tests.conftest import CHECKOUT, Missing

HERE = Path(__file__).parent
LOCK = HERE / "requirements.txt"
PAGE = CHECKOUT / "docs" / "inspect.md"
CHECKS = 44
PYTEST = (
    "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(HERE),
    "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=module",
    "-o", "asyncio_default_test_loop_scope=module", str(HERE / "self_check.py"),
)  # fmt: skip

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.docker,
    pytest.mark.timeout(900),  # the first run installs Inspect
]


@pytest.fixture(scope="module")
def python(missing: Missing) -> Path:
    """The Python of Inspect's environment."""
    folder = folder_for("inspect", LOCK)
    found = folder / "bin" / "python"
    options = ["--quiet", "--no-input", "--no-deps", "--require-hashes"]
    pip = [str(found), "-m", "pip", "install", *options, "-r", str(LOCK)]

    def install() -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(pip, check=True, capture_output=True, text=True)

    try:
        installed(folder, install)
    except subprocess.CalledProcessError as error:
        missing(f"Inspect cannot be installed: {error.stderr}")
    return found


async def ended(python: Path, toolbox: Toolbox, folder: Path, sandbox: str, *arguments: str) -> str:
    """Run Inspect's Python on a sandbox and return what it printed."""
    data = folder / sandbox
    data.mkdir()
    (data / "toolbox").symlink_to(toolbox.path.parent)
    environment = {
        **os.environ, "AGENT_KERNEL_SANDBOX": sandbox, "AGENT_KERNEL_DATA_DIR": str(data),
        "PYTHONPATH": str(CHECKOUT), "INSPECT_LOG_DIR": str(data / "logs"),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        python, *arguments, cwd=data, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def test_passes_inspects_own_checks(python: Path, toolbox: Toolbox, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        runs = {
            name: group.create_task(ended(python, toolbox, tmp_path, name, *PYTEST))
            for name in ("bubblewrap", "docker")
        }
    for name, listed in (("bubblewrap", 1), ("docker", 0)):
        last = runs[name].result().strip().splitlines()[-1]
        counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last.partition(" in ")[0])}
        assert counts.get("passed", 0) + counts.get("xfailed", 0) == CHECKS, last
        assert counts.get("xfailed", 0) == listed, last


async def test_runs_an_evaluation(python: Path, toolbox: Toolbox, tmp_path: Path) -> None:
    for name in ("bubblewrap", "docker"):
        printed = await ended(python, toolbox, tmp_path, name, str(HERE / "evaluation.py"))
        assert "status=success accuracy=1.0" in printed


def test_page_lists_the_checks_that_cannot_pass() -> None:
    source = (HERE / "self_check.py").read_text()
    cannot = set(re.findall(r'"(test_\w+)"', source))
    assert cannot == set(re.findall(r"`(test_\w+)`", PAGE.read_text()))


def test_inspect_finds_the_sandbox_by_entry_point() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["inspect_ai"] == {"agent_kernel": "agent_kernel.integrations.inspect"}
    assert "inspect" in project["optional-dependencies"]
