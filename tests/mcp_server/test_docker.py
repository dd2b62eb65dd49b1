"""The same server over Docker: one container, with all that a session does in it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mcp_server.conftest import Serve, client_of, container, text

pytestmark = pytest.mark.docker


async def test_client_works_in_a_container_of_docker(serve_on_docker: Serve) -> None:
    notes: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        notes.append(message)

    async with serve_on_docker() as served, client_of(served.url) as client:
        box: dict[str, Any] = {"container_id": await container(client)}
        ran = await client.call_tool(
            "run_command", {**box, "command": "cd /mnt/data; echo 3 > n; cat n"}, progress_callback=progress
        )
        assert text(ran) == "3\n[exit code 0]"
        computed = await client.call_tool("run_python", {**box, "code": "int(open('n').read()) * 14"})
        assert text(computed) == "42\n"
        denied = await client.call_tool("run_command", {**box, "command": "curl localhost"})
        assert denied.is_error
        deleted = await client.call_tool("delete_container", box)
        left = (await served.runtime.containers.list()).data
    assert "3" in "".join(note or "" for note in notes)
    assert deleted.structured_content == {"id": box["container_id"], "deleted": True}
    assert left == []
