"""Start a kernel with settings in its environment, for fixtures that keep it for several tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from tests.kernel.client import Notebook


def use_kernels(jupyter_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Make Jupyter find the kernelspecs in this folder, and no setting of the person who runs the tests."""
    patch.setenv("JUPYTER_PATH", str(jupyter_path))
    for name in ("MODEL", "UPSTREAM_URL", "UPSTREAM_KEY", "CONTEXT_WINDOW", "RUNTIME_URL", "API_KEY"):
        patch.delenv(f"AGENT_KERNEL_{name}", raising=False)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        patch.delenv(name, raising=False)


@contextmanager
def running(jupyter_path: Path, folder: Path, name: str = "agent", **settings: str) -> Iterator[Notebook]:
    """Run one kernel in `folder` with these settings in its environment, also after a restart."""
    with pytest.MonkeyPatch.context() as patch:
        use_kernels(jupyter_path, patch)
        for variable, value in settings.items():
            patch.setenv(variable, value)
        manager = KernelManager(kernel_name=name)
        manager.start_kernel(cwd=str(folder), env=dict(os.environ))
    notebook = Notebook(manager, folder)
    try:
        yield notebook
    finally:
        notebook.close()
