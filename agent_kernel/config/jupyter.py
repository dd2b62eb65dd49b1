"""What Jupyter puts into a kernel's environment. These variables are not settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from agent_kernel.kernel.origin.start import JupyterStart


def jupyter_start(connection_file: str, environ: Mapping[str, str] | None = None) -> JupyterStart:
    """Return how Jupyter started this process, from the kernel's connection file and the environment.

    `JPY_SESSION_NAME` is the notebook's path at the first start, `JPY_PARENT_PID` the process that started
    the kernel. If that is a Jupyter server, its runtime folder has a file that describes it.
    """
    from jupyter_core.paths import jupyter_runtime_dir

    environ = os.environ if environ is None else environ
    session, parent = environ.get("JPY_SESSION_NAME"), environ.get("JPY_PARENT_PID", "")
    folders = (Path(jupyter_runtime_dir()), Path(connection_file).absolute().parent)
    files = [folder / f"jpserver-{parent}.json" for folder in folders] if parent.isdecimal() else []
    return JupyterStart(
        Path(connection_file).absolute(),
        Path(session) if session else None,
        next((file for file in files if file.exists()), files[0] if files else None),
        environ.get("JUPYTERHUB_API_TOKEN"),
    )
