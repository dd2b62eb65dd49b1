"""The first examples give their saved outputs in pods."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.sandboxes import catalogue
from tests.notebooks.conftest import environment
from tests.notebooks.saved import assert_equal, saved
from tests.notebooks.test_examples import run, without_pictures
from tests.sandboxes.kubernetes.cluster.conftest import IMAGE, options

__all__ = ["environment"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("notebook", ["01_first_questions", "02_late_payers"])
async def test_run_in_a_pod_equals_saved(
    notebook: str,
    environment: dict[str, str],
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = options(tmp_path, f"accept_open_network: true\nnamespace: {namespace}\n")
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "kubernetes")
    monkeypatch.setenv("AGENT_KERNEL_IMAGE", IMAGE)
    monkeypatch.setenv("AGENT_KERNEL_BACKEND_SETTINGS", str(chosen.settings))
    assert_equal(without_pictures(await run(notebook)), without_pictures(saved(notebook)))
    backend = catalogue.make("kubernetes", chosen)
    try:
        assert [ref for ref in await backend.list() if ref.status == "running"] == []
    finally:
        await backend.aclose()
