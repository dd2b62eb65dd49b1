"""The benchmark of checkpoints runs, and unchanged files are on the disk once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox

CHECKOUT = Path(__file__).parents[2]
SMALL = ("--rounds", "2", "--files", "300", "--large", "5", "--turns", "20", "--megabytes", "40")


@pytest.mark.slow
@pytest.mark.bubblewrap
def test_turns_take_the_disk_of_what_they_change(toolbox: Toolbox) -> None:
    command = [sys.executable, "benchmarks/restore_points.py", *SMALL, "--json"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["megabytes"]["20 turns"] < 40 + 20 + 5, found
    assert set(found["ratios"]) >= {"take: full against empty", "back: full against empty"}
