"""An environment in which the examples run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent_kernel.cli.install import install_spec
from tests.models.local.conftest import llama, llama_python  # noqa: F401 (fixtures)

Environment = dict[str, str]


@pytest.fixture
def environment(own_environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Give this process the environment of a person who has installed the kernel and set nothing."""
    install_spec(str(tmp_path))
    for name in set(os.environ) - set(own_environment):
        monkeypatch.delenv(name)
    for name, value in own_environment.items():
        monkeypatch.setenv(name, value)
    return own_environment
