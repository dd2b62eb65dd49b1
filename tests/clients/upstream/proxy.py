"""The LiteLLM proxy: its environment, made once from the lock beside this file, and its process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.cache import folder_for, installed
from tests.logging_server import logging_server

FOLDER = Path(__file__).parent
LOCK = FOLDER / "requirements.txt"
ENVIRONMENT = folder_for("proxy", LOCK)
KEY = "sk-upstream"
NOWHERE = "http://127.0.0.1:9"  # whatever is not loopback ends here


class ProxyMissing(Exception):
    """The environment could not be made; the message says why."""


def install() -> Path:
    """Make the environment unless the cache has this lock's; return `litellm`. Raises `ProxyMissing`."""
    installed(ENVIRONMENT, _install)
    return ENVIRONMENT / "bin" / "litellm"


def _install() -> None:
    venv = [sys.executable, "-m", "venv", str(ENVIRONMENT)]
    pip = [
        str(ENVIRONMENT / "bin" / "python"),
        *["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"],
    ]
    for command in (venv, [*pip, "-r", str(LOCK)]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise ProxyMissing(f"{LOCK} cannot be installed: {(done.stdout + done.stderr)[-2000:]}")


@contextmanager
def running(program: Path) -> Iterator[str]:
    """Run it on a free port of loopback; give its base URL."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_", "PYTHON"))}

    def start(port: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [program, "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)],
            cwd=FOLDER,
            env={
                **kept,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "HTTP_PROXY": NOWHERE,
                "HTTPS_PROXY": NOWHERE,
                "NO_PROXY": "127.0.0.1",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    with logging_server(start, "Uvicorn running on") as server:
        yield f"http://127.0.0.1:{server.port}/v1"
