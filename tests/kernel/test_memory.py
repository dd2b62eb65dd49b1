"""A long notebook and a flood of output cost the kernel no memory to speak of.

`python -m benchmarks.kernel_memory` does the same with 500 turns and a gigabyte.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from benchmarks.kernel_memory import flood, measured_kernel, turns

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("count", "flooded"), [(36, 50_000_000), pytest.param(150, 200_000_000, marks=pytest.mark.slow)]
)
def test_turns_and_floods(tmp_path: Path, toolbox: Toolbox, count: int, flooded: int) -> None:
    with measured_kernel(tmp_path, toolbox.path.parent) as kernel:
        long = turns(kernel, count, warm=count // 3)
        assert long.grown < 8, "megabytes: a turn leaves no more than its words in the conversation"
        printed = flood(kernel, flooded)
        assert printed.grown < 50
        assert 0 < printed.stored < 1
