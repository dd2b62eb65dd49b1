"""Streams with a single call are, byte for byte, those recorded before tools had one contract.

`python -m tests.tools.test_streams <checkout> <data folder>` records them from the server of a checkout.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

HERE = Path(__file__).parent
RECORDED = HERE / "streams.txt"

FUNCTION = {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}
LOCAL = {"type": "shell", "environment": {"type": "local"}}
POLICY = {"approval": {"default": "deny"}}

REQUESTS: list[dict[str, Any]] = [
    {"input": "run", "tools": [{"type": "shell", "environment": {"type": "container_auto"}}]},
    {"input": "run", "tools": [{"type": "shell"}], "agent_kernel": POLICY},
    {"input": "run", "tools": [{"type": "shell"}], "agent_kernel": {"approval": "ask"}},
    {"input": "run", "tools": [{"type": "shell"}], "max_output_tokens": 16},
    {"input": "run", "tools": [LOCAL]},
    {"input": "call", "tools": [FUNCTION, {"type": "shell"}]},
]


NEWER = re.compile(r'"tool_usage":\{.*?"num_requests":0\}\},|,"agent_kernel":\{"compute":\{[^{}]*\}\}')
"""Fields of responses that the API, or this server, did not have then."""


def comparable(text: str) -> str:
    """Number ids in the order in which they come; leave out times, newer fields and this folder."""
    seen: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return seen.setdefault(match[0], f"{match[1]}_{len(seen)}")

    text = re.sub(r"\b([a-z]+)_[0-9a-f]{32}\b", number, text.replace(f"{HERE}/", ""))
    return re.sub(r'"(created_at|completed_at)":\d+', r'"\1":0', NEWER.sub("", text))


def streams(environment: dict[str, str]) -> str:
    """Start a server and return the streams of all `REQUESTS`."""
    command = [sys.executable, "-m", "agent_kernel", "serve", "--port", "0", "--sandbox", "bubblewrap"]
    with subprocess.Popen(
        [*command, "--model", f"scripted/{HERE / 'streams.yaml'}"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().removeprefix("Serving ").strip()
            found = []
            for request in REQUESTS:
                answer = httpx.post(f"{url}/responses", json={**request, "stream": True}, timeout=60)
                answer.raise_for_status()
                found.append(comparable(answer.text))
            for container in httpx.get(f"{url}/containers?limit=100").json()["data"]:
                httpx.delete(f"{url}/containers/{container['id']}").raise_for_status()
        finally:
            server.terminate()
    return "\n".join(found)


@pytest.mark.bubblewrap
def test_streams_are_those_of_the_build_before(
    own_environment: dict[str, str], bubblewrap_backend: object
) -> None:
    assert streams(own_environment) == RECORDED.read_text()


if __name__ == "__main__":
    checkout, data = sys.argv[1:]
    RECORDED.write_text(
        streams({**os.environ, "PYTHONPATH": checkout, "AGENT_KERNEL_DATA_DIR": data}), encoding="utf-8"
    )
