"""The LiteLLM proxy: its environment, made once from the lock beside this file, and its process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.environments import environment
from tests.logging_server import logging_server

FOLDER = Path(__file__).parent
LOCK = FOLDER / "requirements.txt"
KEY = "sk-upstream"
NOWHERE = "http://127.0.0.1:9"  # whatever is not loopback ends here


def install() -> Path:
    """Return `litellm`; the first call makes its environment. Raises `EnvironmentMissing`."""
    return environment("proxy", LOCK) / "bin" / "litellm"


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
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    with logging_server(start, "Uvicorn running on") as server:
        yield f"http://127.0.0.1:{server.port}/v1"
