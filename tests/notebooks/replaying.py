"""Runs pytest with the plugin that replays notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PLUGINS = ["-p", "nbval.plugin", "-p", "agent_kernel.integrations.pytest_plugin", "-p", "no:cacheprovider"]


def run_pytest(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin on a notebook or folder."""
    where = ["-c", os.devnull, f"--rootdir={path if path.is_dir() else path.parent}"]
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", *PLUGINS, *where, *options, str(path)]
    variables = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # to import the others takes seconds
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
