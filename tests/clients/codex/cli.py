"""Codex CLI without a person: its configuration, its process, and what it reports.

Codex runs its commands itself, in the test's folder.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.clients.conftest import KEY
from tests.clients.node import PACKAGES, environment

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
CATALOG = """\
{
  "models": [
    {
      "slug": "chat/local",
      "display_name": "Local",
      "context_window": 32768,
      "apply_patch_tool_type": "freeform",
      "base_instructions": "You are a coding agent. Edit files with apply_patch.",
      "shell_type": "unified_exec",
      "visibility": "list",
      "supported_in_api": true,
      "priority": 1,
      "supported_reasoning_levels": [],
      "support_verbosity": false,
      "supports_parallel_tool_calls": true,
      "experimental_supported_tools": [],
      "truncation_policy": { "mode": "tokens", "limit": 10000 }
    }
  ]
}
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
