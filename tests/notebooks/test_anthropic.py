"""An example runs unchanged with a model of the Messages API: directly, and through a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.models.anthropic.messages_server import KEY, MessagesServer, model_info, serving
from tests.models.anthropic.scripted_server import Player
from tests.notebooks.saved import assert_equal, saved
from tests.notebooks.test_examples import run

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(300)]

Environment = dict[str, str]
NAME = "01_first_questions"


@pytest.fixture
def played(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    """Run a server of the Messages API that plays the scripts, and configure it."""
    monkeypatch.setenv("AGENT_KERNEL_SANDBOX", "bubblewrap")
    with serving() as server:
        server.models = [model_info("claude-demo", max_input_tokens=None)]
        server.answer = Player()
        monkeypatch.setenv("AGENT_KERNEL_MODEL", "anthropic/claude-demo")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        yield server
    assert server.faults == []


async def test_notebook_with_claude_equals_saved(played: MessagesServer) -> None:
    wanted = [output for output in saved(NAME) if "Demo mode:" not in output]
    assert len(wanted) == len(saved(NAME)) - 1
    assert_equal(await run(NAME), wanted)
    _with_all_turns(played)


@pytest.fixture
def server(played: MessagesServer) -> Iterator[str]:
    """Run `agent-kernel serve` with that model, and yield its address."""
    command = [sys.executable, "-m", "agent_kernel", "serve", "--port", "0"]
    own = {**os.environ, "AGENT_KERNEL_API_KEY": "a key"}
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("Serving http://127.0.0.1:"), line
            yield line.removeprefix("Serving ").strip()
        finally:
            process.terminate()


@pytest.mark.slow
async def test_notebook_through_server_with_claude(
    played: MessagesServer, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel knows only the server: neither the key nor the address of the model."""
    for name in ("AGENT_KERNEL_MODEL", "AGENT_KERNEL_SANDBOX", "AGENT_KERNEL_DATA_DIR"):
        monkeypatch.delenv(name)
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AGENT_KERNEL_RUNTIME_URL", server)
    monkeypatch.setenv("AGENT_KERNEL_API_KEY", "a key")
    ran = await run(NAME)
    assert_equal(ran, [output for output in saved(NAME) if "Demo mode:" not in output])
    _with_all_turns(played)


def _with_all_turns(played: MessagesServer) -> None:
    """Check that the last request has the conversation of all cells, with its thinking."""
    blocks = [block for message in played.requests[-1]["messages"] for block in message["content"]]
    kinds = [block["type"] for block in blocks]
    assert kinds.count("thinking") >= 5
    assert kinds.count("tool_use") == kinds.count("tool_result") >= 5
    assert played.asked.count("/v1/models/claude-demo") == 1
