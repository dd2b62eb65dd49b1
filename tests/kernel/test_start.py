"""A kernel is idle as soon as plain ipykernel, nearly, and has not taken more memory by then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("openai", "pydantic", "anywidget", "ipywidgets", "markdown_it", "docker", "numpy", "starlette")


def test_nothing_heavy_is_loaded_to_start_a_kernel() -> None:
    code = (
        "import sys, agent_kernel.cli.kernel, agent_kernel.cli.flags, agent_kernel.cli.compose\n"
        "from agent_kernel.kernel import launch, KernelSettings\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_start_loads_few_modules() -> None:
    """Every module costs time: ipykernel loads about 450."""
    count = "import sys; print(len(sys.modules))"
    ours = "import agent_kernel.cli.kernel, agent_kernel.cli.flags, agent_kernel.cli.compose\n"
    ours += "from agent_kernel.kernel import launch, KernelSettings\n"
    loaded = []
    for code in ("import ipykernel.kernelapp\n", ours):
        done = subprocess.run([sys.executable, "-c", code + count], cwd=ROOT, check=True, capture_output=True)
        loaded.append(int(done.stdout))
    assert loaded[1] < loaded[0] + 100


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_start_and_memory_are_within_the_budget() -> None:
    command = [sys.executable, "benchmarks/kernel_start.py", "--rounds=3", "--json"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    figures = json.loads(done.stdout)
    assert done.returncode == 0, figures
    assert figures["ratio"]["seconds"] <= 1.5
    assert figures["ratio"]["megabytes"] <= 1.5
