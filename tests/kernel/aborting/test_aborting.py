"""A cell that fails ends the cells that wait behind it, and none that comes later."""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from tests.kernel.aborting import late_abort
from tests.kernel.client import Notebook

pytestmark = pytest.mark.bubblewrap


def test_cell_sent_upon_the_reply_of_an_error_runs(jupyter: Path, tmp_path: Path) -> None:
    manager = KernelManager(kernel_name="agent")
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv[2:4] = ["-m", late_abort.__name__]
    manager.start_kernel(cwd=str(tmp_path))
    notebook = Notebook(manager, tmp_path)
    try:
        assert notebook.reply(notebook.send("%nonsense"))["status"] == "error"
        assert notebook.reply(notebook.send("%budget"))["status"] == "ok"
    finally:
        notebook.close()
