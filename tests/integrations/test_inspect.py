"""Inspect's self check of a sandbox, and a small evaluation, on each of our backends.

Inspect brings many packages, so it has a separate environment in the cache, installed once per lock.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.conftest import CHECKOUT, Missing
from tests.environments import EnvironmentMissing, environment

HERE = Path(__file__).parent
LOCK = HERE / "requirements.txt"
PAGE = CHECKOUT / "docs" / "inspect.md"
CHECKS = 44
SANDBOXES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.slow)]
"""Docker's case repeats what the contract of sandboxes tests there."""

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.docker,
    pytest.mark.timeout(900),  # the first run installs Inspect
]


@pytest.fixture(scope="module")
def python(missing: Missing) -> Path:
    """The Python of Inspect's environment."""
    try:
        return environment("inspect", LOCK) / "bin" / "python"
    except EnvironmentMissing as why:
        missing(str(why))


@pytest.fixture(scope="module", params=SANDBOXES)
def found(
    request: pytest.FixtureRequest,
    python: Path,
    toolbox: Toolbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What `all_checks.py` found out about a sandbox, in a process with Inspect's Python."""
    folder = tmp_path_factory.mktemp("inspect")
    (folder / request.param).mkdir()
    (folder / request.param / "toolbox").symlink_to(toolbox.path.parent)
    command = [str(python), str(HERE / "all_checks.py"), str(folder), request.param]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    [result] = re.findall(r"^RESULT (.+)$", done.stdout, re.MULTILINE)
    made: dict[str, Any] = json.loads(result)
    return made | {"output": done.stdout}


def test_passes_inspects_own_checks(found: dict[str, Any]) -> None:
    counts = found["counts"]
    assert found["status"] == 0, "\n".join(found["failures"]) or found["output"]
    assert counts.get("passed", 0) + counts.get("xfailed", 0) == CHECKS, found
    assert counts.get("xfailed", 0) == {"bubblewrap": 1, "docker": 0}[found["sandbox"]], found


def test_runs_an_evaluation(found: dict[str, Any]) -> None:
    assert "status=success accuracy=1.0" in found["evaluation"]


def test_page_lists_the_checks_that_cannot_pass() -> None:
    source = (HERE / "self_check.py").read_text()
    cannot = set(re.findall(r'"(test_\w+)"', source))
    assert cannot == set(re.findall(r"`(test_\w+)`", PAGE.read_text()))


def test_inspect_finds_the_sandbox_by_entry_point() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["inspect_ai"] == {"agent_kernel": "agent_kernel.integrations.inspect"}
    assert "inspect" in project["optional-dependencies"]
