"""The bwrap program: where it is, and whether it can make a sandbox on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from agent_kernel.errors import EngineUnavailable
from agent_kernel.sandboxes.bubblewrap.process import isolation
from agent_kernel.sandboxes.bubblewrap.socket import START_TIMEOUT

INSTALL = "Install bubblewrap, for instance with: apt-get install bubblewrap"


def find(given: str | None = None) -> str:
    """Return the path of bwrap: `given`, else the distribution's, because AppArmor profiles name it.

    Raises `EngineUnavailable` if it is not installed.
    """
    found = given or next(filter(os.path.exists, ("/usr/bin/bwrap",)), None) or shutil.which("bwrap")
    sibling = Path(sys.executable).with_name("bwrap")
    if found is None and sibling.exists():
        found = str(sibling)
    if found is None:
        raise EngineUnavailable("bubblewrap (bwrap) is not installed.", hint=INSTALL)
    return found


def check(program: str) -> None:
    """Start an empty sandbox as a test. Raises `EngineUnavailable` if that fails."""
    root = ("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "/bin/true")
    arguments = [program, *isolation(), *root]
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, env={}, timeout=START_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailable(f"bubblewrap cannot be started: {error}.", hint=INSTALL) from error
    if done.returncode:
        raise EngineUnavailable(
            f"bubblewrap cannot make a sandbox here: {done.stderr.strip()[:300]}.",
            hint="Allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, or an AppArmor "
            "profile for bwrap), or use Docker: AGENT_KERNEL_SANDBOX=docker",
        )
