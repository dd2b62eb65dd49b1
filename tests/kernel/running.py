"""Start kernels for tests: forked ones, and with settings in their environment if several tests use one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from tests.forked import Forked
from tests.kernel.client import Notebook

COMMAND = ["-P", "-m", "agent_kernel", "kernel"]
"""Python's arguments in the kernelspec."""


class ForkedProvisioner(LocalProvisioner):
    """Forks the kernel instead of starting Python, which takes two thirds of a kernel's processor time."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork a process that does what the kernelspec's command does."""
        assert cmd[1:5] == COMMAND
        environment = {**kwargs["env"], "JPY_PARENT_PID": str(os.getpid())}
        folder = Path(kwargs.get("cwd") or ".")
        forked = Forked(*cmd[4:], environment=environment, stderr=2, folder=folder)
        self.process = forked  # type: ignore[assignment]
        self.pid = self.pgid = forked.pid  # it leads a session of its own
        return self.connection_info


def kernel_manager(name: str) -> KernelManager:
    """Return a manager whose kernel, of this kernelspec, is forked."""
    manager = KernelManager(kernel_name=name)
    fork(manager)
    return manager


def fork(manager: KernelManager) -> None:
    """Let this manager fork its kernel."""
    manager.provisioner = ForkedProvisioner(
        kernel_id=str(uuid.uuid4()), kernel_spec=manager.kernel_spec, parent=manager
    )


def use_kernels(jupyter_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Make Jupyter find the kernelspecs in this folder, and no setting of the person who runs the tests."""
    patch.setenv("JUPYTER_PATH", str(jupyter_path))
    for name in ("MODEL", "UPSTREAM_URL", "UPSTREAM_KEY", "CONTEXT_WINDOW", "RUNTIME_URL", "API_KEY"):
        patch.delenv(f"AGENT_KERNEL_{name}", raising=False)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        patch.delenv(name, raising=False)


@contextmanager
def running(jupyter_path: Path, folder: Path, name: str = "agent", **settings: str) -> Iterator[Notebook]:
    """Run one kernel in `folder` with these settings in its environment, also after a restart."""
    with pytest.MonkeyPatch.context() as patch:
        use_kernels(jupyter_path, patch)
        for variable, value in settings.items():
            patch.setenv(variable, value)
        manager = kernel_manager(name)
        manager.start_kernel(cwd=str(folder), env=dict(os.environ))
    notebook = Notebook(manager, folder)
    try:
        yield notebook
    finally:
        notebook.close()
