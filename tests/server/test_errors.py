"""Bad input, each with the documented error object and status, and nothing changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI

AUTH = {"Authorization": "Bearer sk-test"}


def _call(call_id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": "x"}


CALL = {"type": "function_call", "name": "f", "arguments": "{}"}

WRONG: list[tuple[dict[str, Any], int, str | None, str | None]] = [
    ({"input": 7}, 400, "input", None),
    ({"input": "chat", "stream": "yes"}, 400, "stream", None),
    ({"input": "chat", "temperature": "hot"}, 400, "temperature", None),
    ({"input": "chat", "model": "nonsense/x"}, 400, "model", "model_not_found"),
    ({"input": "chat", "model": "openai/x"}, 400, "model", "model_not_found"),
    (
        {"input": "chat", "previous_response_id": "r"},
        400,
        "previous_response_id",
        "previous_response_not_found",
    ),
    ({"input": "chat", "conversation": "conv_none"}, 404, "conversation_id", "not_found"),
    ({"input": [_call("call_none")]}, 400, "input", None),
    (
        {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}]},
        400,
        "input",
        None,
    ),
    ({"input": [{"type": "item_reference", "id": "msg_none"}]}, 400, "input", None),
    ({"input": "chat", "tools": [{"type": "function"}]}, 400, "tools[0].name", None),
    (
        {
            "input": "chat",
            "tools": [{"type": "shell", "environment": {"type": "container_reference", "container_id": "c"}}],
        },
        404,
        "container_id",
        "not_found",
    ),
]


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    """Yield one client for all requests: a new client costs more than a request."""
    with httpx2.Client() as client:
        yield client


def count(folder: Path) -> list[int]:
    """Rows of every table."""
    tables = ("responses", "events", "items", "conversations", "conversation_items", "containers", "files")
    with sqlite3.connect(folder / "store.sqlite") as db:
        found = [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    db.close()
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_requests_that_are_wrong(
    client: OpenAI, http: httpx2.Client, server: Any, tmp_path: Path, stream: bool, background: bool
) -> None:
    client.responses.create(input="chat")
    before = count(tmp_path)
    for body, status, param, code in WRONG:
        request = {"stream": stream, "background": background, **body}
        response = http.post(f"{server.url}/responses", json=request, headers=AUTH)
        error = response.json()["error"]
        assert (body, response.status_code, error["param"], error["code"]) == (body, status, param, code)
        assert error["type"] == "invalid_request_error"
        assert error["message"]
    assert count(tmp_path) == before


def test_numbers_and_depths_that_json_does_not_have(http: httpx2.Client, server: Any) -> None:
    headers = {**AUTH, "Content-Type": "application/json"}
    for body in (
        '{"input": "chat", "temperature": NaN}',
        '{"input": "chat", "temperature": 1e999}',
        '{"input": "chat", "metadata": -Infinity}',
        '{"input": "chat", "x": ' + "[" * 200 + "]" * 200 + "}",
        '{"input": "chat", "x": ' + "1" * 5000 + "}",
    ):
        response = http.post(f"{server.url}/responses", content=body, headers=headers)
        assert (body[:60], response.status_code) == (body[:60], 400)


def test_half_a_character_is_no_error(http: httpx2.Client, server: Any) -> None:
    headers = {**AUTH, "Content-Type": "application/json"}
    body = '{"input": "chat \\ud800", "metadata": {"\\udfff": "\\ud800"}}'
    response = http.post(f"{server.url}/responses", content=body, headers=headers)
    assert response.json()["metadata"] == {"\ufffd": "\ufffd"}


def test_a_body_that_is_too_large(http: httpx2.Client, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.server.uploads.JSON_LIMIT", 1000)
    response = http.post(f"{server.url}/responses", json={"input": "x" * 2000}, headers=AUTH)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_every_place_asks_for_the_key(http: httpx2.Client, server: Any) -> None:
    from agent_kernel.server.routes import ENDPOINTS

    root = server.url.removesuffix("/v1")
    for endpoint in ENDPOINTS:
        if endpoint.path == "/healthz":
            continue
        path = endpoint.path.replace(":path}", "}").replace("{", "").replace("}", "")
        for headers in ({}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": "Basic sk-test"}):
            response = http.request(endpoint.method, root + path, headers=headers)
            assert (path, response.status_code) == (path, 401)
            assert response.json()["error"]["code"] == "invalid_api_key"
