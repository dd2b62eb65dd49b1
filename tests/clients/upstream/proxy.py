"""The LiteLLM proxy: its environment, made once from the lock beside this file, and its process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.cache import folder_for, installed

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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_", "PYTHON"))}
    process = subprocess.Popen(
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
    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=40)
    try:
        for line in process.stdout:
            tail.append(line)
            if "Uvicorn running on" in line:
                break
        assert "Uvicorn running on" in tail[-1], "".join(tail)
        reader = threading.Thread(target=tail.extend, args=(process.stdout,))  # or it blocks on a full pipe
        reader.start()
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()
        reader.join()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
