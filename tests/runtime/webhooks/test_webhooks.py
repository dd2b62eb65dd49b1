"""Webhooks of background turns: signed as OpenAI's, tried again, and kept over a restart."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openai import InvalidWebhookSignatureError, OpenAI

from agent_kernel.errors import ConfigurationError
from agent_kernel.keys import Key
from agent_kernel.models.catalogue import Models
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.webhooks.configured import configured
from agent_kernel.runtime.webhooks.delivery import Endpoints, HookAddress, Webhooks
from agent_kernel.runtime.webhooks.outbox import Outbox, Owed
from agent_kernel.runtime.webhooks.signing import key_of
from agent_kernel.store.sqlite.store import sqlite_store
from agent_kernel.tools.outbound import AllowedHosts
from tests.runtime.played import Upstream, at_once

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OPENAI = OpenAI(api_key="none", webhook_secret=SECRET)


@dataclass
class Endpoint:
    """An endpoint on loopback: what it answers, and what came."""

    url: str = ""
    answers: list[bytes] = field(default_factory=list)
    came: asyncio.Queue[tuple[dict[str, str], str]] = field(default_factory=asyncio.Queue)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {
            n.lower(): v for n, _, v in (line.partition(": ") for line in head.split("\r\n")[1:] if line)
        }
        body = (await reader.readexactly(int(headers["content-length"]))).decode()
        self.came.put_nowait((headers, body))
        answer = self.answers.pop(0) if self.answers else b"200 OK\r\nContent-Encoding: gzip\r\n"
        writer.write(b"HTTP/1.1 " + answer + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def listening(serve: Any) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    async with listening(endpoint.serve) as port:
        endpoint.url = f"http://127.0.0.1:{port}/hooks?token=t"
        yield endpoint


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    async with listening(upstream.serve) as port:
        upstream.url = f"http://127.0.0.1:{port}/v1"
        yield upstream


def hosts_of(*urls: str) -> AllowedHosts:
    return AllowedHosts.parse(["*", *(f"tcp://{url.split('/')[2]}" for url in urls)], param="hosts")


def webhooks(folder: Path, *urls: str, hosts: AllowedHosts | None = None) -> Webhooks:
    addresses = [HookAddress(url, key_of(SECRET)) for url in urls]
    endpoints = Endpoints(addresses, hosts or hosts_of(*urls), first_wait=0.0, look=0.1)
    return Webhooks(endpoints, Outbox(folder / "webhooks"))


Serving = Callable[[Webhooks], AbstractAsyncContextManager[LocalRuntime]]


@pytest.fixture
def serving(upstream: Upstream, tmp_path: Path) -> Serving:
    """A runtime without sandboxes whose turns end as the upstream says."""

    async def no_backend() -> Any:
        raise AssertionError("these turns need no sandbox")

    @asynccontextmanager
    async def serving(hooks: Webhooks) -> AsyncIterator[LocalRuntime]:
        retry = RetryPolicy(sleep=at_once)
        models = Models(upstream_url=upstream.url, upstream_key=None, default="chat/m", retry=retry)
        store = sqlite_store(tmp_path)
        runtime = LocalRuntime(RuntimeParts(models=models, backend=no_backend, store=store, webhooks=hooks))
        await runtime.start()
        try:
            yield runtime
        finally:
            await runtime.aclose()

    return serving


async def begin(runtime: Any) -> str:
    """Begin a background turn and leave it."""
    async with aclosing(runtime.respond({"input": "hi", "background": True})) as events:
        async for event in events:
            return str(event.response.id)
    raise AssertionError


async def written(folder: Path, ready: Callable[[Any], bool]) -> None:
    """Wait until the outbox's only event is as asked."""
    box = folder / "webhooks"
    while not any(ready(json.loads(e.read_text())) for e in box.glob("*.json")):  # noqa: ASYNC110 (a file)
        await asyncio.sleep(0.01)


async def emptied(folder: Path) -> None:
    """Wait until nothing is owed."""
    while list((folder / "webhooks").glob("*.json")):  # noqa: ASYNC110 (a file has no event)
        await asyncio.sleep(0.01)


async def test_each_end_is_told_as_openai_tells_it(
    serving: Serving, endpoint: Endpoint, upstream: Upstream, tmp_path: Path
) -> None:
    begun: dict[str, str] = {}
    async with serving(webhooks(tmp_path, endpoint.url)) as runtime:
        upstream.says({"content": "done"})
        begun[await begin(runtime)] = "response.completed"
        first = await endpoint.came.get()
        upstream.says({"content": "cut"}, finish="length")
        begun[await begin(runtime)] = "response.incomplete"
        second = await endpoint.came.get()
        upstream.refuses(400, "no", {})
        begun[await begin(runtime)] = "response.failed"
        third = await endpoint.came.get()
        upstream.hangs()
        hanging = await begin(runtime)
        begun[hanging] = "response.cancelled"
        await runtime.cancel(hanging)
        fourth = await endpoint.came.get()
        await emptied(tmp_path)
    told = {}
    for headers, body in (first, second, third, fourth):
        event: Any = OPENAI.webhooks.unwrap(body, headers)
        told[event.data.id] = event.type
        assert (event.object, headers["webhook-id"]) == ("event", event.id)
    assert told == begun
    with pytest.raises(InvalidWebhookSignatureError):
        OPENAI.webhooks.unwrap(first[1].replace("completed", "failed"), first[0])


OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()


async def test_a_keys_address_is_told_of_its_turns_only(
    serving: Serving, endpoint: Endpoint, upstream: Upstream, tmp_path: Path
) -> None:
    """`endpoint` is the operator's, for all keys; alice and bob have one each."""
    alice, bob = Endpoint(), Endpoint()
    async with listening(alice.serve) as one, listening(bob.serve) as two:
        alice.url, bob.url = f"http://127.0.0.1:{one}/a", f"http://127.0.0.1:{two}/b"
        own = {"alice": {"urls": alice.url, "secret": OTHER}, "bob": {"urls": bob.url, "secret": OTHER}}
        hosts = ",".join(f"tcp://{each.url.split('/')[2]}" for each in (endpoint, alice, bob))
        hooks = configured(endpoint.url, SECRET, hosts, tmp_path, json.dumps(own))
        assert hooks is not None
        begun: dict[str, str] = {}
        async with serving(hooks) as runtime:
            for name in ("alice", "bob", "carol"):
                upstream.says({"content": "done"})
                begun[name] = await begin(runtime.for_key(Key(name=name)))
                await endpoint.came.get()
            await emptied(tmp_path)
        headers, body = await alice.came.get()
        assert (alice.came.empty(), json.loads(body)["data"]["id"]) == (True, begun["alice"])
        OPENAI.webhooks.verify_signature(body, headers, secret=OTHER)
        with pytest.raises(InvalidWebhookSignatureError):
            OPENAI.webhooks.verify_signature(body, headers, secret=SECRET)
        _, body = await bob.came.get()
        assert (bob.came.empty(), json.loads(body)["data"]["id"]) == (True, begun["bob"])


async def test_without_an_address_for_its_key_nothing_is_owed(
    serving: Serving, endpoint: Endpoint, upstream: Upstream, tmp_path: Path
) -> None:
    own = json.dumps({"alice": {"urls": endpoint.url, "secret": SECRET}})
    hosts = f"tcp://{endpoint.url.split('/')[2]}"
    hooks = configured("", "", hosts, tmp_path, own)
    assert hooks is not None
    async with serving(hooks) as runtime:
        upstream.says({"content": "done"})
        await begin(runtime.for_key(Key(name="bob")))
        upstream.says({"content": "done"})
        begun = await begin(runtime.for_key(Key(name="alice")))
        _, body = await endpoint.came.get()
        await emptied(tmp_path)
    assert (endpoint.came.empty(), json.loads(body)["data"]["id"]) == (True, begun)


async def test_turns_in_the_foreground_are_not_told(
    serving: Serving, endpoint: Endpoint, upstream: Upstream, tmp_path: Path
) -> None:
    async with serving(webhooks(tmp_path, endpoint.url)) as runtime:
        upstream.says({"content": "one"})
        async with aclosing(runtime.respond({"input": "hi"})) as events:
            _ = [event async for event in events]
        upstream.says({"content": "two"})
        begun = await begin(runtime)
        _, body = await endpoint.came.get()
        await emptied(tmp_path)
    assert json.loads(body)["data"] == {"id": begun}
    assert endpoint.came.empty()


async def test_refused_delivery_is_tried_again(
    serving: Serving, endpoint: Endpoint, upstream: Upstream, tmp_path: Path
) -> None:
    moved = b"307 Temporary Redirect\r\nLocation: " + endpoint.url.encode() + b"\r\n"
    endpoint.answers = [b"500 No\r\n", moved]
    async with serving(webhooks(tmp_path, endpoint.url)) as runtime:
        upstream.says({"content": "done"})
        await begin(runtime)
        came = [await endpoint.came.get() for _ in range(3)]
        await emptied(tmp_path)
    assert len({headers["webhook-id"] for headers, _ in came}) == 1
    assert len({body for _, body in came}) == 1
    assert endpoint.came.empty(), "a redirect is not followed"


async def test_restart_goes_on_delivering(
    serving: Serving, endpoint: Endpoint, upstream: Upstream, tmp_path: Path
) -> None:
    other = Endpoint()
    async with listening(other.serve) as port:
        other.url = f"http://127.0.0.1:{port}/"
        endpoint.answers = [b"503 No\r\n"]
        hooks = webhooks(tmp_path, endpoint.url, other.url)
        hooks = Webhooks(Endpoints(**{**vars(hooks._endpoints), "first_wait": 3600.0}), hooks._outbox)
        async with serving(hooks) as runtime:
            upstream.says({"content": "done"})
            await begin(runtime)
            refused, _ = await endpoint.came.get()
            await other.came.get()
            await written(tmp_path, lambda owed: [each["count"] for each in owed["left"].values()] == [1])
        (file,) = (tmp_path / "webhooks").glob("*.json")
        owed = json.loads(file.read_text())
        for attempts in owed["left"].values():
            attempts["next_at"] = 0.0
        file.write_text(json.dumps(owed))
        async with serving(webhooks(tmp_path, endpoint.url, other.url)):
            again, _ = await endpoint.came.get()
            await emptied(tmp_path)
    assert again["webhook-id"] == refused["webhook-id"]
    assert other.came.empty()


async def test_turn_that_ended_unseen_is_told_after_restart(
    serving: Serving, endpoint: Endpoint, upstream: Upstream, tmp_path: Path
) -> None:
    class Killed(Webhooks):
        """Its process dies before it looks."""

        def start(self, rows: Any) -> None:
            """Do nothing."""

    killed = Killed(webhooks(tmp_path, endpoint.url)._endpoints, Outbox(tmp_path / "webhooks"))
    async with serving(killed) as runtime:
        upstream.says({"content": "done"})
        begun = await begin(runtime)
        async with aclosing(runtime.follow(begun)) as events:
            _ = [event async for event in events]
    async with serving(webhooks(tmp_path, endpoint.url)):
        headers, body = await endpoint.came.get()
        await emptied(tmp_path)
    event: Any = OPENAI.webhooks.unwrap(body, headers)
    assert (event.type, event.data.id) == ("response.completed", begun)


async def test_one_of_two_processes_delivers(
    serving: Serving, endpoint: Endpoint, upstream: Upstream, tmp_path: Path
) -> None:
    second = webhooks(tmp_path, endpoint.url)
    async with serving(webhooks(tmp_path, endpoint.url)) as runtime, serving(second) as other:
        for each in (runtime, other, other):
            upstream.says({"content": "done"})
            await begin(each)
            await endpoint.came.get()
        await emptied(tmp_path)
    assert endpoint.came.empty()


async def test_private_address_must_be_named(
    serving: Serving,
    endpoint: Endpoint,
    upstream: Upstream,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    hooks = webhooks(tmp_path, endpoint.url, hosts=AllowedHosts.parse(["*"], param="hosts"))
    async with serving(hooks) as runtime:
        upstream.says({"content": "done"})
        await begin(runtime)
        await written(tmp_path, lambda owed: owed["left"][endpoint.url]["count"] >= 2)
    assert endpoint.came.empty()
    assert "ConnectDenied" in caplog.text
    assert "token=t" not in caplog.text
    assert len(list((tmp_path / "webhooks").glob("*.json"))) == 1


async def test_damaged_file_stops_no_other(
    serving: Serving, endpoint: Endpoint, upstream: Upstream, tmp_path: Path
) -> None:
    folder = tmp_path / "webhooks"
    folder.mkdir()
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"left": {"u": 7}}')):
        (folder / f"{name}.json").write_text(text)
    async with serving(webhooks(tmp_path, endpoint.url)) as runtime:
        upstream.says({"content": "done"})
        await begin(runtime)
        await endpoint.came.get()
        await emptied(tmp_path)


@pytest.mark.parametrize(
    ("urls", "secret", "hosts", "said"),
    [
        ("https://a.example/", "", "", "it must begin with whsec_"),
        ("https://a.example/", "whsec_!", "", "must be base64"),
        ("https://a.example/", "whsec_aGk=", "", "at least 24 bytes"),
        ("ftp://a.example/", SECRET, "", "not an address"),
        ("https://", SECRET, "", "not an address"),
        ("https://a.example/", SECRET, "tcp://", "AGENT_KERNEL_WEBHOOK_HOSTS"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, urls: str, secret: str, hosts: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        configured(urls, secret, hosts, tmp_path)
    assert "aGk=" not in str(refused.value)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("{", "not an object of objects"),
        ('{"a": "https://a.example/"}', "not an object of objects"),
        ('{"a": {"urls": "", "secret": "s"}}', "'a' has no urls"),
        ('{"a": {"urls": "https://a.example/", "secret": "hunter2"}}', "must begin with whsec_"),
        ('{"a": {"urls": "ftp://a.example/", "secret": "' + SECRET + '"}}', "KEY_WEBHOOKS has an entry"),
        ('{"a": {"url": "https://a.example/"}}', "'a' has 'url'"),
    ],
)
def test_wrong_addresses_of_keys_are_refused(tmp_path: Path, own: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        configured("", "", "", tmp_path, own)
    assert "hunter2" not in str(refused.value) + str(refused.value.hint)


def test_no_address_means_no_webhooks(tmp_path: Path) -> None:
    assert configured("", "", "", tmp_path) is None
    assert configured("https://a.example/, https://b.example/", SECRET, "", tmp_path) is not None


def test_servers_with_folders_of_their_own_name_an_event_alike(tmp_path: Path) -> None:
    """One goes on with the turn of another, and both may deliver: the receiver knows it by its id."""
    for name in ("one", "two"):
        Outbox(tmp_path / name).put(Owed("resp_1", left={}))
    found = {owed.id for name in ("one", "two") for owed in Outbox(tmp_path / name).all()}
    assert len(found) == 1
    assert found != {Owed("resp_2").id}
