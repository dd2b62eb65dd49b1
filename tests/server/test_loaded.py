"""What a server has loaded when it listens, as each megabyte counts once for each worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_server_does_not_load_a_second_http_client(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent_kernel", "serve", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith("Serving ")
            loaded = Path(f"/proc/{server.pid}/maps").read_text()
        finally:
            server.terminate()
    assert "pydantic_core" in loaded
    assert "aiohttp" not in loaded
