"""An apt repository with one tiny package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.egress.clients.sites import WORD

TOOLS = {"dpkg-deb": "dpkg", "apt-ftparchive": "apt-utils"}
CONTROL = "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@b.test>\nDescription: Tiny\n"


def missing_tools() -> list[str]:
    """Return the packages of the tools that this machine lacks."""
    return [package for tool, package in TOOLS.items() if shutil.which(tool) is None]


def make_repository(site: Path) -> None:
    """Make the repository below an empty folder: a flat one, without a signature."""
    root = site / "root"
    program = root / "usr" / "bin" / "tiny"
    for folder in (root / "DEBIAN", program.parent):
        folder.mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(CONTROL)
    program.write_text(f"#!/bin/sh\necho {WORD}\n")
    program.chmod(0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, site / "tiny.deb"], check=True,
                   capture_output=True)  # fmt: skip
    for kind, name in (("packages", "Packages"), ("release", "Release")):
        made = subprocess.run(["apt-ftparchive", kind, "."], cwd=site, check=True, capture_output=True)
        (site / name).write_bytes(made.stdout)
