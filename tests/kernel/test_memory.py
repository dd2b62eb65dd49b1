"""A long notebook and a flood of output cost the kernel no memory to speak of.

`python -m benchmarks.kernel_memory` does the same with 500 turns and a gigabyte.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from benchmarks.kernel_memory import flood, measured_kernel, turns

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(300)]


def test_turns_and_floods(tmp_path: Path, toolbox: Toolbox) -> None:
    with measured_kernel(tmp_path, toolbox.path.parent) as kernel:
        long = turns(kernel, 150, warm=50)
        assert long.grown < 8, "megabytes: a turn leaves no more than its words in the conversation"
        printed = flood(kernel, 200_000_000)
        assert printed.grown < 50
        assert 0 < printed.stored < 1
