"""HTTPS servers on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.egress.tls.outside import HttpsServer, Start


@pytest.fixture
async def https(tmp_path: Path) -> AsyncIterator[Start]:
    """Start servers that speak the given protocols."""
    started: list[HttpsServer] = []

    async def start(*protocols: str) -> HttpsServer:
        server = HttpsServer(tmp_path, protocols)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.server.close()
        await server.server.wait_closed()
