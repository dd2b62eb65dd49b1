"""A server where nothing was prepared: its first request succeeds, and its log shows progress."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from tests.conftest import CHECKOUT

SHELL: Any = [{"type": "shell", "environment": {"type": "container_auto"}}]


def first_turn(folder: Path, sandbox: str) -> str:
    """Run one turn on a fresh server and return what the server logged."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_"))}
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent_kernel", "serve", "--port", "0", "--sandbox", sandbox],
            env={**kept, "PYTHONPATH": str(CHECKOUT), "AGENT_KERNEL_DATA_DIR": str(folder / "data")},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[1]
            with OpenAI(base_url=url, api_key="none", max_retries=0, timeout=1500) as client:
                made = client.responses.create(model="agent_kernel/shell", input="echo on", tools=SHELL)
                printed = [item.output[0].stdout for item in made.output if item.type == "shell_call_output"]
                for container in client.containers.list():
                    client.containers.delete(container.id)
        finally:
            process.terminate()
            process.wait(60)
            process.stdout.close()
    assert printed == ["on\n"], log.read_text()
    return log.read_text()


@pytest.mark.slow
@pytest.mark.bubblewrap
@pytest.mark.timeout(900)
def test_the_first_request_prepares_the_toolbox(tmp_path: Path) -> None:
    log = first_turn(tmp_path, "bubblewrap")
    assert re.search(r"Preparing bubblewrap sandboxes.*Installing.*are prepared", log, re.DOTALL), log


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(1800)
def test_the_first_request_builds_the_image(tmp_path: Path) -> None:
    """The engine's own image is set aside under another name meanwhile."""
    kept = f"{DEFAULT_IMAGE.partition(':')[0]}:kept-by-a-test"
    subprocess.run(["docker", "tag", DEFAULT_IMAGE, kept], check=True)
    try:
        subprocess.run(["docker", "rmi", "--no-prune", DEFAULT_IMAGE], check=True, capture_output=True)
        log = first_turn(tmp_path, "docker")
        lines = r"Preparing docker sandboxes.*(Step \d|Importing \d+ MB).*sandboxes are prepared"
        assert re.search(lines, log, re.DOTALL), log
        assert "Traceback" not in log
    finally:
        subprocess.run(["docker", "rmi", "--force", DEFAULT_IMAGE], check=False, capture_output=True)
        subprocess.run(["docker", "tag", kept, DEFAULT_IMAGE], check=True)
        subprocess.run(["docker", "rmi", "--no-prune", kept], check=True, capture_output=True)
