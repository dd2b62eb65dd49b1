"""Packages of the tests, installed from their wheels as those of other people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin


def install(project: Path, folder: Path) -> Path:
    """Build the wheel of a project, install it into a folder and return that. uv is quicker than pip."""
    options = ["--quiet", "--no-cache", "--offline", "--no-index", "--no-deps", "--no-build-isolation"]
    python = ["--python", sys.executable, "--target", str(folder)]
    subprocess.run([find_uv_bin(), "pip", "install", *options, *python, str(project)], check=True)
    return folder
