"""llama.cpp's server for tests: its environment, installed once from the lock here, and its process."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.environments import environment

FOLDER = Path(__file__).parent
LOCK = FOLDER / "requirements.txt"


def install() -> Path:
    """Return the server's Python; the first call makes its environment. Raises `EnvironmentMissing`."""
    return environment("llama", LOCK) / "bin" / "python"


class Llama:
    """One server on loopback with one slot. A restart takes the same port."""

    def __init__(self, python: Path, template: str) -> None:
        self._command = [str(python), str(FOLDER / "serve.py")]
        self._template = str(FOLDER / template)
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        self._process = subprocess.Popen(
            [*self._command, str(self._port), self._template],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        address = self._process.stdout.readline()
        assert address, "The server ended before it was ready."
        self._port = int(address.rpartition(":")[2])

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    async def idle(self) -> int:
        """Return when the server generates nothing, with the tokens of the answer that it was at.

        A lower bound: the server is asked for the number until then.
        """
        tokens = 0
        while (slot := await asyncio.to_thread(self._slot))["is_processing"]:
            tokens = slot["next_token"][0]["n_decoded"]
            await asyncio.sleep(0.02)
        return tokens

    def _slot(self) -> Any:
        with urlopen(self.url.replace("/v1", "/slots"), timeout=30) as answer:
            return json.load(answer)[0]


@contextmanager
def running(python: Path, template: str) -> Iterator[Llama]:
    """Run a server with a chat template of this folder."""
    llama = Llama(python, template)
    try:
        yield llama
    finally:
        llama.kill()
