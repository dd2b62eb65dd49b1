"""Where pip installs: into a folder at home, but in a virtual environment into the environment.

The toolbox is read-only, so two variables make pip install at home and Python look there. Virtual
environments inherit these variables. Each Python that starts in the sandbox imports `sitecustomize`, unless
it is isolated; in a virtual environment that module takes both back.
"""

from __future__ import annotations

from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.toolbox import HOME, MOUNT

PACKAGES = f"{HOME}/packages"
_SITE = f"{launch.HOME}/site"

VARIABLES = {"PIP_TARGET": PACKAGES, "PYTHONPATH": f"{PACKAGES}:{_SITE}"}

_CUSTOM = f"""\
# From agent-kernel: a virtual environment has its own packages, without those at home.
import os
import sys

if sys.prefix not in (sys.base_prefix, {MOUNT!r}):
    sys.path[:] = [path for path in sys.path if path != {PACKAGES!r}]
    if os.environ.get("PIP_TARGET") == {PACKAGES!r}:
        del os.environ["PIP_TARGET"]
"""

FILES = {f"{_SITE}/sitecustomize.py": _CUSTOM.encode()}
"""The files of a sandbox that this needs."""
