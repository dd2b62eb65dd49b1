"""Keys of a running server: made, taken away, exchanged, and never seen again."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from agent_kernel.errors import ConfigurationError, InvalidRequest, NotFound
from agent_kernel.keys import KeyLimits
from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.access.keys import StoredKeys
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.server import create_app, listen
from agent_kernel.server.logs import JsonFormatter, KeyFilter
from agent_kernel.store.sqlite.store import sqlite_rows, sqlite_store
from tests.server.keyed import SCRIPT, SHELL, Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap

MODELS = "/v1/models"
CLIENTS = ("websockets.client", "httpcore", "httpx", "openai")
"""Loggers of the clients in this process: what those log of their own keys is theirs."""


@pytest.fixture
def server(tmp_path: Path, toolbox: Toolbox) -> Iterator[Keyed]:
    with keyed_server(tmp_path, toolbox, {"alice": KeyLimits(), "bob": KeyLimits()}) as server:
        yield server


def status(server: Keyed, secret: str | None) -> int:
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    return httpx2.get(server.root + MODELS, headers=headers).status_code


def test_a_key_is_good_until_it_is_revoked(server: Keyed) -> None:
    assert server.ask("alice", "GET", MODELS).status_code == 200
    server.revoke("alice")
    refused = server.ask("alice", "GET", MODELS)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert server.ask("bob", "GET", MODELS).status_code == 200
    assert server.ask("", "GET", MODELS).status_code == 200


def test_what_is_nearly_a_key_is_none(server: Keyed) -> None:
    good = server.secrets["alice"]
    prefix, id_, secret = good.split("-", 2)
    for wrong in (
        good[:-1], good + "x", good.upper(), f"{prefix}-{id_}-", f"{prefix}-{id_}", f"xx-{id_}-{secret}", id_,
        f"{prefix}-{server.secrets['bob'].split('-')[1]}-{secret}", "alice", "ak--", "ak-' OR 1=1 --",
    ):  # fmt: skip
        assert (wrong, status(server, wrong)) == (wrong, 401)


def test_an_open_socket_ends_with_its_key(server: Keyed) -> None:
    url = server.url.replace("http:", "ws:") + "/responses"
    with connect(url, additional_headers=server.headers("alice")) as socket:
        socket.send(json.dumps({"type": "response.create", "input": "chat"}))
        while json.loads(socket.recv(timeout=30))["type"] != "response.completed":
            pass
        server.revoke("alice")
        socket.send(json.dumps({"type": "response.create", "input": "chat"}))
        refused = json.loads(socket.recv(timeout=30))
        assert (refused["status"], refused["error"]["code"]) == (401, "invalid_api_key")
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_a_new_key_of_the_name_has_what_the_old_one_made(server: Keyed) -> None:
    with server.client("alice") as alice:
        first = alice.responses.create(input="make a file", tools=[SHELL])
    old = server.secrets["alice"]
    server.revoke("alice")
    server.create("alice")
    assert server.secrets["alice"] != old
    assert status(server, old) == 401
    with server.client("alice") as alice:
        later = alice.responses.create(input="look again", tools=[SHELL], previous_response_id=first.id)
    assert later.output_text == "It says hello."


def test_what_was_there_before_any_key_of_a_name_is_the_nameless_ones(server: Keyed) -> None:
    with server.client("") as operator, server.client("alice") as alice:
        own = operator.responses.create(input="chat")
        assert operator.responses.retrieve(own.id).id == own.id
        alice.responses.create(input="chat")
        assert 'key="alice"' in server.ask("", "GET", "/metrics").text


def test_first_key_closes_an_open_server_for_good(tmp_path: Path, toolbox: Toolbox) -> None:
    with keyed_server(tmp_path, toolbox, {}, api_key=None) as server:
        assert status(server, None) == 200
        server.create("alice")
        assert status(server, None) == 401
        assert server.ask("alice", "GET", MODELS).status_code == 200
        server.revoke("alice")
        assert status(server, None) == 401
        assert server.ask("alice", "GET", MODELS).status_code == 401


def test_a_key_is_seen_nowhere(
    tmp_path: Path, toolbox: Toolbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in the store, the audit log, an answer, an error or a log, however much that says."""
    caplog.set_level(logging.DEBUG)
    with keyed_server(tmp_path, toolbox, {"alice": KeyLimits(turns=0)}, api_key="sk-of-this-test") as server:
        secrets = [server.secrets["alice"], server.secrets[""]]
        seen = []
        for name in ("alice", ""):
            for method, path, body in (
                ("POST", "/v1/responses", {"input": "chat"}),
                ("POST", "/v1/responses", {"input": 7}),
                ("GET", "/v1/responses/none", None),
                ("GET", "/nothing", None),
                ("GET", "/metrics", None),
            ):
                answer = server.ask(name, method, path, json=body)
                seen += [answer.text, str(answer.headers)]
        server.revoke("alice")
        seen.append(server.ask("alice", "GET", MODELS).text)
        url = server.url.replace("http:", "ws:") + "/responses"
        with pytest.raises(InvalidStatus, match="401"):
            connect(url, additional_headers=server.headers("alice"), open_timeout=100).close()
        files = [path for path in tmp_path.rglob("*") if path.is_file() and "toolbox" not in path.parts]
        assert tmp_path / "store.sqlite" in files
        written = b"".join(path.read_bytes() for path in files)
    ours = [record for record in caplog.records if not record.name.startswith(CLIENTS)]
    seen += [f"{record.name}: {logging.Formatter().format(record)}" for record in ours]
    seen += list(capfd.readouterr())
    for secret in secrets:
        assert secret.encode() not in written
        assert not [text for text in seen if secret in text]
    assert secrets[0].split("-", 2)[2].encode() not in written


def test_the_file_with_the_hashes_is_its_users_alone(server: Keyed) -> None:
    assert stat.S_IMODE((server.folder / "store.sqlite").stat().st_mode) == 0o600


def test_a_log_entry_has_the_name_of_the_key(server: Keyed, caplog: pytest.LogCaptureFixture) -> None:
    handler = caplog.handler
    names = KeyFilter()
    handler.addFilter(names)
    try:
        with caplog.at_level(logging.INFO, logger="agent_kernel"):
            for name in ("alice", "bob", ""):
                server.ask(name, "POST", "/v1/responses", json={"input": "chat"})
                server.ask(name, "POST", "/v1/responses", json={"input": "chat", "background": True})
    finally:
        handler.removeFilter(names)
    ended = [record for record in caplog.records if record.name == "agent_kernel.runtime.turns.loop"]
    entries = [json.loads(JsonFormatter().format(record)) for record in ended]
    assert {entry.get("key") for entry in entries} == {"alice", "bob", None}


async def test_beyond_loopback_a_key_of_a_name_is_enough(tmp_path: Path) -> None:
    async def no_backend() -> Any:
        raise AssertionError("nobody asks for a container")

    store = sqlite_store(tmp_path)
    models = Models(upstream_url=None, upstream_key=None, default=SCRIPT)
    runtime = LocalRuntime(RuntimeParts(models=models, backend=no_backend, store=store))
    with pytest.raises(ConfigurationError, match="agent-kernel keys create"):
        await listen(create_app(runtime, api_key=None), "0.0.0.0", 0)
    await runtime.keys.create("alice", KeyLimits())
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = create_app(runtime, api_key=None)
    task = asyncio.create_task(listen(app, "0.0.0.0", 0, announce=listening.set_result))
    assert await listening
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_names_that_cannot_be(tmp_path: Path) -> None:
    store = sqlite_rows(tmp_path / "store.sqlite")
    keys = StoredKeys(store)
    for wrong in ("", " ", "a b", "-a", ".a", "a/b", "a\n", "ä", "a" * 65, 'a"b'):
        with pytest.raises(InvalidRequest, match="name"):
            await keys.create(wrong, KeyLimits())
    assert not await keys.exist()
    await keys.create("a" * 64, KeyLimits())
    with pytest.raises(InvalidRequest, match="revoke"):
        await keys.create("a" * 64, KeyLimits())
    with pytest.raises(NotFound, match="nobody"):
        await keys.revoke("nobody")
    await store.aclose()
