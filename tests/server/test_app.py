"""The skin itself: bodies, guards, errors, and where it may listen."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent_kernel.errors import ConfigurationError
from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.base import Backend
from agent_kernel.server import create_app, listen
from agent_kernel.server.auth import is_loopback
from agent_kernel.store.sqlite.store import sqlite_rows, sqlite_store

KEY = "sk-test"
AUTH = {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "localhost.example.com", "127.0.0.1.example.com", "2130706433", "10.0.0.1"]
)
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_without_a_key_only_this_machines_programs_are_answered(start: Any) -> None:
    server = start(None)
    port = httpx2.URL(server.url).port
    for headers, status in (
        ({}, 200),
        ({"Host": f"localhost:{port}"}, 200),
        ({"Host": f"[::1]:{port}"}, 200),
        ({"Origin": f"http://localhost:{port}"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "127.0.0.1.example"}, 403),
        ({"Host": "[nonsense"}, 403),
        ({"Origin": "https://page.example"}, 403),
        ({"Origin": "null"}, 403),
    ):
        response = httpx2.get(f"{server.url}/models", headers=headers)
        assert (headers, response.status_code) == (headers, status)


def test_bodies_that_are_wrong(server: Any) -> None:
    json_type = {"Content-Type": "application/json"}
    for content, headers in (
        (b"{", json_type),
        (b"[]", json_type),
        (b'"x"', json_type),
        (b"", json_type),
        (b"\xff", json_type),
        (b"[" * 100_000, json_type),
        (b'{"input": "chat"}', {"Content-Type": "text/plain"}),
        (b'{"input": "chat"}', {}),
    ):
        response = httpx2.post(f"{server.url}/responses", content=content, headers={**AUTH, **headers})
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_places_that_do_not_exist(server: Any) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("PUT", "/responses", 405),
        ("GET", "/responses/resp_none?stream=true", 404),
        ("GET", "/responses/resp_none?stream=perhaps", 400),
        ("GET", "/responses/resp_none?stream=true&starting_after=x", 400),
        ("GET", "/responses/resp_none/input_items", 404),
        ("POST", "/responses/resp_none/cancel", 404),
        ("GET", "/conversations/conv_none", 404),
        ("GET", "/conversations/conv_none/items", 404),
        ("DELETE", "/conversations/conv_none/items/msg_none", 404),
        ("GET", "/files/file-none", 404),
        ("GET", "/files/file-none/content", 404),
        ("DELETE", "/files/file-none", 404),
        ("GET", "/files?limit=10001", 400),
        ("GET", "/models/none", 404),
        ("GET", "/containers?limit=x", 400),
        ("GET", "/containers?order=up", 400),
        ("DELETE", "/containers/cntr_none", 404),
        ("GET", "/containers/cntr_none/files", 404),
        ("GET", "/containers/cntr_none/files/cfile_none/content", 404),
    ):
        response = httpx2.request(method, f"{server.url}{path}", headers=AUTH)
        assert (path, response.status_code) == (path, status)
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_uploads_that_are_wrong(server: Any) -> None:
    with server.client() as client:
        container = client.containers.create(name="c").id
    url = f"{server.url}/containers/{container}/files"
    part = 'Content-Disposition: form-data; name="{}"; filename="x"\r\n\r\ndata\r\n'
    for content, kind in (
        (b"data", "text/plain"),
        (b"data", "multipart/form-data"),
        (b"data", "multipart/form-data; boundary=b"),
        (f"--b\r\n{part.format('other')}--b--\r\n".encode(), "multipart/form-data; boundary=b"),
        (f"--b\r\n{part.format('file')}".encode(), "multipart/form-data; boundary=b"),
        (b"", "multipart/form-data; boundary=" + "b" * 5000),
    ):
        response = httpx2.post(url, content=content, headers={**AUTH, "Content-Type": kind})
        assert (kind, response.status_code) == (kind, 400)
    assert httpx2.get(url, headers=AUTH).json()["data"] == []
    good = f"--b\r\n{part.format('other')}--b\r\n{part.format('file')}--b--\r\n".encode()
    response = httpx2.post(
        url, content=good, headers={**AUTH, "Content-Type": "multipart/form-data; boundary=b"}
    )
    assert response.json()["path"] == "/mnt/data/x"
    assert response.json()["bytes"] == 4


async def test_where_it_may_listen(backend: Backend, tmp_path: Any) -> None:
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(upstream_url=None, upstream_key=None, default="scripted/demo"),
            backend=backend,
            store=sqlite_store(tmp_path),
        )
    )
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(ConfigurationError, match="AGENT_KERNEL_API_KEY"):
            await listen(create_app(runtime, api_key=None), host, 0)
    for empty in ("", "  "):
        with pytest.raises(ValueError, match="empty"):
            create_app(runtime, api_key=empty)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError, match="cannot listen"),
    ):
        await listen(create_app(runtime, api_key=None), "127.0.0.1", taken.getsockname()[1])
    await runtime.aclose()


def test_stopping_the_server_writes_down_running_turns(
    start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("agent_kernel.server.serving.GRACE", 0)
    server = start(KEY)
    tool: Any = {"type": "shell", "environment": {"type": "container_auto"}}
    with server.client() as client:
        stream = client.responses.create(input="wait", tools=[tool], stream=True)
        created: Any = next(iter(stream))
        for event in stream:
            if event.type == "response.output_item.added" and event.item.type == "shell_call_output":
                break
        server.stop()
        stream.close()

    async def stored() -> str:
        store = sqlite_rows(tmp_path / "store.sqlite")
        try:
            row = await store.response(created.response.id)
        finally:
            await store.aclose()
        assert row is not None
        return row.status

    assert asyncio.run(stored()) == "incomplete"
