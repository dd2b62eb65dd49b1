"""Inspect's own checks of a sandbox, on one of ours. Run by `test_inspect.py` where Inspect is installed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
from inspect_ai.util import SandboxEnvironment
from inspect_ai.util._sandbox.self_check import *  # noqa: F403 (how Inspect wants it)

from agent_kernel.integrations.inspect import AgentKernelSandbox

CANNOT = {
    "bubblewrap": {"test_exec_as_user": "one user, and no way to add another"},
    "docker": {},
}
"""Checks that cannot pass, by sandbox, with the reason. docs/inspect.md lists them."""


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[SandboxEnvironment]:
    made = await AgentKernelSandbox.sample_init("self check", None, {})
    yield made["default"]
    await AgentKernelSandbox.sample_cleanup("self check", None, made, False)


@pytest.fixture
def sandbox_env(request: pytest.FixtureRequest, shared: SandboxEnvironment) -> SandboxEnvironment:
    why = CANNOT[os.environ["AGENT_KERNEL_SANDBOX"]].get(request.node.originalname)
    if why:
        request.node.add_marker(pytest.mark.xfail(reason=why, strict=True))
    return shared
