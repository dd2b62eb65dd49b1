"""However much a command prints, the kernel, the messages to the page and the notebook stay small."""

from __future__ import annotations

import json
from collections.abc import Callable

import psutil
import pytest
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from tests.kernel.client import Notebook

pytestmark = pytest.mark.bubblewrap

GROWTH = 50e6
STORED = 1e6
COMMAND = "!head -c {} /dev/zero | tr '\\0' x; echo; echo end"


@pytest.mark.parametrize("size", [200_000_000, pytest.param(1_000_000_000, marks=pytest.mark.slow)])
def test_long_output_takes_little_memory(start: Callable[..., Notebook], size: int) -> None:
    notebook = start("agent-live")
    notebook.run("!echo warm", cell_id="a")  # the view's libraries are loaded
    provisioner = notebook.manager.provisioner
    assert isinstance(provisioner, LocalProvisioner)
    kernel = psutil.Process(provisioner.pid)
    before = kernel.memory_info().rss
    result = notebook.run(COMMAND.format(size), cell_id="b")
    assert kernel.memory_info().rss - before < GROWTH
    assert result.plain[-1].rstrip().endswith("end")
    assert len(json.dumps(result.final)) < STORED
    assert sum(len(json.dumps(message["content"])) for message in result.messages) < 2 * STORED
