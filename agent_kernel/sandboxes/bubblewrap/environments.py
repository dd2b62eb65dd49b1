"""Where pip installs: into a folder at home, but in a virtual environment into the environment.

The toolbox is read-only, so two variables make pip install at home and Python look there. Virtual
environments inherit these variables. Each Python that starts in the sandbox imports `sitecustomize`, unless
it is isolated; in a virtual environment that module takes both back.

For the toolbox's Python it adds the wheel of pip that Python brings along. Such a pip unpacks at home: `/tmp`
is small and counts as memory.
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

if sys.prefix == {MOUNT!r}:
    bundled = os.path.join(os.path.dirname(os.__file__), "ensurepip", "_bundled")
    for folder in (bundled, "/usr/share/python-wheels"):  # Debian's Python has them there
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        sys.path += [os.path.join(folder, n) for n in names if n.startswith("pip-") and n.endswith(".whl")]
    if sys.orig_argv[1:3] == ["-m", "pip"] and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = {HOME + "/.cache/pip-unpacked"!r}
        os.makedirs(os.environ["TMPDIR"], exist_ok=True)
elif sys.prefix != sys.base_prefix:
    sys.path[:] = [path for path in sys.path if path != {PACKAGES!r}]
    if os.environ.get("PIP_TARGET") == {PACKAGES!r}:
        del os.environ["PIP_TARGET"]
"""

FILES = {f"{_SITE}/sitecustomize.py": _CUSTOM.encode()}
"""The files of a sandbox that this needs."""
