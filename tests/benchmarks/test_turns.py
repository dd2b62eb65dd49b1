"""The benchmark of turns runs; a machine that runs tests is busy, so twice its promises are allowed here."""

from __future__ import annotations

import pytest

from benchmarks.turns import __main__ as turns


@pytest.mark.slow
@pytest.mark.bubblewrap
async def test_what_a_turn_costs(toolbox: object, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "bubblewrap")
    monkeypatch.setattr(turns, "PER_COMMAND", 2 * turns.PER_COMMAND)
    monkeypatch.setattr(turns, "GROWTH", 2 * turns.GROWTH)
    assert await turns.measure()
