"""The benchmark of the way out runs. A busy machine cannot judge speed, so only memory is bounded here."""

from __future__ import annotations

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from benchmarks.egress.__main__ import COLUMNS, MEMORY, OURS, measure, ratio, report


@pytest.mark.slow
@pytest.mark.bubblewrap
async def test_downloads_at_once_need_little_memory(toolbox: Toolbox) -> None:
    figures, grown = await measure(["direct", "bubblewrap"], rounds=2, megabytes=32)
    assert {name: set(found) for name, found in figures.items()} == {
        "direct": set(COLUMNS),
        "bubblewrap": set(COLUMNS),
    }
    assert grown["bubblewrap"] <= MEMORY
    shown = report(figures, grown)
    assert "bubblewrap / direct, throughput" in shown
    assert "mitmproxy" not in shown


def test_missed_target_says_so() -> None:
    times = {"throughput": [10.0, 30.0], "set-up": [1.0, 3.0], "name": [0.1, 0.2], "parallel": [1.0]}
    figures = {"direct": times, OURS[0]: {**times, "throughput": [1.0, 30.0]}}
    assert ratio(figures, "throughput", OURS[0], "direct") == 0.55
    assert "NOT MET" not in report(figures, {OURS[0]: MEMORY})
    figures[OURS[0]]["throughput"] = [1.0, 3.0]
    missed = [line for line in report(figures, {OURS[0]: MEMORY + 1}).splitlines() if "NOT MET" in line]
    assert len(missed) == 2
