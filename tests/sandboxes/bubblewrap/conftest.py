"""Checkpoints of these tests are layers, however little has changed, unless a test says otherwise."""

from __future__ import annotations

import pytest

from agent_kernel.sandboxes.bubblewrap import snapshots


@pytest.fixture(autouse=True)
def _always_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "is_little", lambda source: False)
