"""`agent-kernel mcp` as MCP clients start it, on standard input and output."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from agent_kernel.cli import main
from tests.later import agents
from tests.mcp_server.conftest import container, text

pytestmark = pytest.mark.bubblewrap

WORDS = ["-m", "agent_kernel", "mcp", "--sandbox", "bubblewrap"]


@asynccontextmanager
async def started(environment: Mapping[str, str], *more: str) -> AsyncGenerator[Client]:
    server = StdioServerParameters(command=sys.executable, args=[*WORDS, *more], env=dict(environment))
    async with Client(server) as client:
        yield client


def sandboxes(environment: Mapping[str, str]) -> list[str]:
    """The ids of the sandboxes in this data folder."""
    folder = Path(environment["AGENT_KERNEL_DATA_DIR"]) / "sandboxes"
    return sorted(each.name for each in folder.iterdir())


async def test_session_ends_with_its_unnamed_containers(own_environment: dict[str, str]) -> None:
    async with started(own_environment) as client:
        box = await container(client)
        ran = await client.call_tool("run_command", {"container_id": box, "command": "echo hello"})
        kept = await container(client, name="kept")
        await client.call_tool("run_command", {"container_id": kept, "command": "echo word > f"})
    left = sandboxes(own_environment)
    async with started(own_environment) as client:
        again = await client.call_tool("run_command", {"container_id": kept, "command": "cat f"})
        await client.call_tool("delete_container", {"container_id": kept})
    assert text(ran) == "hello\n[exit code 0]"
    assert left == [kept]
    assert text(again) == "word\n[exit code 0]"
    assert sandboxes(own_environment) == []


@pytest.mark.slow
async def test_agents_sdk_uses_the_sandbox(own_environment: dict[str, str]) -> None:
    words: Any = {"command": sys.executable, "args": WORDS, "env": own_environment}
    async with agents.mcp.MCPServerStdio(words, client_session_timeout_seconds=60) as server:
        made = await server.call_tool("create_container", {})
        box = made.structured_content["id"]
        ran = await server.call_tool("run_python", {"container_id": box, "code": "6 * 7"})
        tools = await server.list_tools()
    assert ran.content[0].text == "42\n"
    assert {"run_command", "run_python"} <= {tool.name for tool in tools}


async def test_sigterm_ends_the_session(own_environment: dict[str, str], tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    script = f"echo $$ > {pids}; exec {sys.executable} {' '.join(WORDS)}"
    server = StdioServerParameters(command="sh", args=["-c", script], env=own_environment)
    async with Client(server) as client:
        await container(client)
        process = int(pids.read_text())
        opened = os.pidfd_open(process)
        os.kill(process, signal.SIGTERM)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(opened, ended.set)
        await ended.wait()
        asyncio.get_running_loop().remove_reader(opened)
        os.close(opened)
    assert sandboxes(own_environment) == []


async def test_session_of_a_key_has_its_containers_and_limits(
    own_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", own_environment["AGENT_KERNEL_DATA_DIR"])
    assert await asyncio.to_thread(main, ["keys", "create", "amy", "--containers", "1"]) == 0
    async with started(own_environment, "--key", "amy") as client:
        box = await container(client)
        over = await client.call_tool("create_container", {})
        listed = (await client.call_tool("list_containers", {})).structured_content
    assert over.is_error
    assert "one container" in text(over)
    assert listed is not None
    assert [each["id"] for each in listed["containers"]] == [box]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--key", "nobody"], "No key is named 'nobody'."),
        (["--key", "a", "--http"], "--http and --key exclude each other."),
        (
            ["--key", "a", "--runtime-url", "http://127.0.0.1:1/v1"],
            "--key names a key of this machine's store",
        ),
    ],
)
def test_wrong_flags_are_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path))
    assert main(["mcp", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
