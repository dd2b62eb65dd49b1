"""Codex CLI: two turns without a person, the second in the session of the first.

Codex runs its commands itself; they come from `script.yaml` and stay in the test's folder.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import KEY, MODEL
from tests.clients.node import PACKAGES, environment
from tests.clients.tap import Tap

pytestmark = pytest.mark.timeout(600)  # the first run installs the packages
CONFIG = """
model = "{model}"
model_provider = "agent_kernel"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.agent_kernel]
name = "agent-kernel"
base_url = "{url}"
env_key = "AGENT_KERNEL_API_KEY"
wire_api = "responses"
supports_websockets = {socket}
request_max_retries = 0
stream_max_retries = 0
"""
NOWHERE = "http://127.0.0.1:9"  # whatever is not loopback ends here


async def codex(node: Path, home: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run `codex exec`; return what it reports."""
    process = await asyncio.create_subprocess_exec(
        str(node),
        str(PACKAGES / "node_modules" / "@openai" / "codex" / "bin" / "codex.js"),
        "exec",
        *("--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
        *arguments,
        cwd=home / "work",
        env=environment(
            node,
            HOME=str(home),
            CODEX_HOME=str(home / "codex"),
            AGENT_KERNEL_API_KEY=KEY,
            HTTP_PROXY=NOWHERE,
            HTTPS_PROXY=NOWHERE,
            NO_PROXY="127.0.0.1",
        ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode() + err.decode()
    return [json.loads(line) for line in out.splitlines()]


def done(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [
        event["item"]
        for event in events
        if event["type"] == "item.completed" and event["item"]["type"] == kind
    ]


@pytest.mark.parametrize("socket", ["false", "true"])
async def test_two_turns(node: Path, tap: Tap, tmp_path: Path, socket: str) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "codex").mkdir()
    (tmp_path / "codex" / "config.toml").write_text(CONFIG.format(model=MODEL, url=tap.url, socket=socket))
    first = await codex(node, tmp_path, "count the lines, Codex")
    commands = done(first, "command_execution")
    assert [command["exit_code"] for command in commands] == [0, 0, 0]
    assert done(first, "agent_message")[-1]["text"] == "There are 3 lines."
    assert first[-1]["type"] == "turn.completed"

    second = await codex(node, tmp_path, "resume", "--last", "read your note, Codex")
    outputs = [command["aggregated_output"] for command in done(second, "command_execution")]
    assert sorted(outputs) == ["", "c\n", "noted\n"]
    assert done(second, "agent_message")[-1]["text"] == "The note says noted."
    assert not (tmp_path / "work" / "letters.txt").exists()

    assert bool(tap.turns()) == (socket == "false")
    if socket == "true":
        return
    assert {turn.status for turn in tap.turns()} == {200}
    assert {turn.json["store"] for turn in tap.turns()} == {False}
    unserved = {tool["type"] for tool in tap.turns()[0].json["tools"]} - {"function"}
    assert unserved  # it sends tools that are not served here, and they are no error
