"""What all tests of this folder share."""

import pytest

from agent_kernel.runtime.network import egress


@pytest.fixture(autouse=True)
def _policies_are_read_at_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that changes the store as another process does would have to wait until they are."""
    monkeypatch.setattr(egress, "FRESH", 0)
