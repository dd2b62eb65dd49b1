"""The examples of docs/api.md run as they are printed, and answer what the page shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.server.routes import ENDPOINTS
from tests.conftest import Missing
from tests.docs.tables import rows, section
from tests.server.keyed import Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap

ADDRESS = "http://127.0.0.1:8642/v1"
KEY = "sk-example"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", section("api.md", "Examples"), re.MULTILINE | re.DOTALL)
CURL = [code for language, code in BLOCKS if language == "sh"]
PYTHON = [code for language, code in BLOCKS if language == "python"]
ANSWERS = [json.loads(code) for language, code in BLOCKS if language == "json"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("server")
    with keyed_server(folder, toolbox, {}, api_key=KEY) as server:
        yield server


async def output(server: Keyed, *command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, err.decode()
    return out.decode()


def at(server: Keyed, code: str) -> str:
    assert ADDRESS in code
    return code.replace(ADDRESS, server.url)


def contains(answer: Any, shown: Any) -> bool:
    """Whether `answer` has everything that the page shows of it."""
    if isinstance(shown, dict):
        return all(name in answer and contains(answer[name], value) for name, value in shown.items())
    if isinstance(shown, list):
        return len(answer) == len(shown) and all(map(contains, answer, shown))
    return bool(answer == shown)


async def test_curl_examples_answer_as_shown(server: Keyed, missing: Missing) -> None:
    if shutil.which("curl") is None:
        missing("curl is missing: apt-get install curl")
    assert (len(CURL), len(ANSWERS)) == (3, 2)
    turn, stream, wrong = [await output(server, "sh", "-c", at(server, code)) for code in CURL]
    assert contains(json.loads(turn), ANSWERS[0])
    assert json.loads(wrong) == ANSWERS[1]
    events = re.findall(r"^event: (.+)$", stream, re.MULTILINE)
    assert (events[0], events[-1]) == ("response.created", "response.completed")


@pytest.mark.parametrize(("code", "says"), list(zip(PYTHON, ["42\n\n", "a,b\n1,2\n\n"], strict=True)))
async def test_python_examples_print_what_they_should(server: Keyed, code: str, says: str) -> None:
    assert await output(server, sys.executable, "-c", at(server, code)) == says


def test_endpoint_table_lists_every_endpoint() -> None:
    table = "\n".join(row[0] for row in rows(section("api.md", "Endpoints"), "endpoint", "remarks"))
    listed = set(re.findall(r"/[\w/{}.]+", table))
    assert listed == {each.path.replace(":path}", "}") for each in ENDPOINTS}


def test_limit_table_has_the_codes_of_429() -> None:
    limits = {code for code, *_ in rows(section("api.md", "Limits"), "code", "limit", "when to retry")}
    statuses = rows(section("api.md", "Errors"), "status", "code", "when")
    assert limits == {code for status, code, _ in statuses if status == "429"}


def test_limits_of_every_client_are_the_servers() -> None:
    from agent_kernel.server import bodies, connections, serving, socket, uploads

    table = dict(rows(section("api.md", "Limits"), "limit", "value"))
    assert table["time for path and headers"] == f"{connections.HEAD:g} seconds"
    assert table["time for a body"].startswith(f"{bodies.PATIENCE:g} seconds")
    assert f"per {bodies.SLOWEST} bytes" in table["time for a body"]
    queued = f"{socket.WAITING}, together {uploads.JSON_LIMIT >> 20} MiB"
    assert table["queued requests on a WebSocket"] == queued
    messages = table["unfinished WebSocket messages of all clients"]
    assert messages.startswith(f"{bodies.TOGETHER >> 20} MiB")
    assert str(connections.TRY_AGAIN_LATER) in messages
    assert f"{serving.UNREAD} seconds" in table["a client that does not read"]
    assert table["connections"].startswith(str(serving.MAX_CONNECTIONS))
