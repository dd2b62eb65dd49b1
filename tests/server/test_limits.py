"""What a key may use: more is refused at once, with nothing lost, and said as the API says it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from websockets.sync.client import connect

from agent_kernel.errors import LimitReached
from agent_kernel.keys import KeyLimits
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.server.rates import Rate, duration
from tests.server.keyed import SHELL, Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def served(tmp_path: Path, toolbox: Toolbox) -> Iterator[Callable[..., Keyed]]:
    """A server with these limits for Alice; Bob has none."""
    with ExitStack() as stack:

        def start(settings: ContainerOptions | None = None, **limits: int) -> Keyed:
            people = {"alice": KeyLimits(**limits), "bob": KeyLimits()}
            return stack.enter_context(keyed_server(tmp_path, toolbox, people, settings=settings))

        yield start


def refused(answer: httpx2.Response, code: str) -> httpx2.Headers:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (429, code, "rate_limit_error")
    assert set(error) == {"message", "type", "param", "code"}
    return answer.headers


# --- turns -------------------------------------------------------------------------------------------------


def test_one_turn_too_many_is_refused_at_once_and_loses_nothing(served: Callable[..., Keyed]) -> None:
    server = served(turns=1)
    with server.client("alice") as alice, server.client("bob") as bob:
        first = alice.responses.create(input="make a file", tools=[SHELL])
        conversation = alice.conversations.create().id
        running = server.begin_to_wait("alice")
        turn = {"input": "look again", "tools": [SHELL], "previous_response_id": first.id}
        for body in (
            turn, {**turn, "stream": True}, {**turn, "background": True},
            {"input": "chat", "conversation": conversation}, {"input": "chat", "store": False},
        ):  # fmt: skip
            headers = refused(server.ask("alice", "POST", "/v1/responses", json=body), "turns_limit_reached")
            assert headers["retry-after"] == "1"
        compacted = server.ask("alice", "POST", "/v1/responses/compact", json={"model": "", "input": "chat"})
        refused(compacted, "turns_limit_reached")
        assert bob.responses.create(input="chat").status == "completed"
        assert alice.responses.cancel(running).status == "cancelled"
        later = alice.responses.create(input="look again", tools=[SHELL], previous_response_id=first.id)
        assert later.output_text == "It says hello."
        assert alice.responses.create(input="chat", conversation=conversation).status == "completed"
        assert len(alice.conversations.items.list(conversation).data) == 2


def test_a_turn_that_ends_in_any_way_makes_room(served: Callable[..., Keyed]) -> None:
    server = served(turns=1)
    with server.client("alice") as alice:
        for body in ({"input": 7}, {"input": "no such turn"}, {"input": "chat", "previous_response_id": "r"}):
            server.ask("alice", "POST", "/v1/responses", json=body)
        with alice.responses.create(input="wait", tools=[SHELL], stream=True) as left:
            next(iter(left))
        deadline = time.monotonic() + 60  # the server has to notice that the client left
        while (
            answer := server.ask("alice", "POST", "/v1/responses", json={"input": "chat"})
        ).status_code == 429:
            assert time.monotonic() < deadline
        assert answer.json()["status"] == "completed"


def test_the_official_client_tries_again_by_itself(served: Callable[..., Keyed]) -> None:
    server = served(turns=1)
    with server.client("alice") as alice, server.client("alice").with_options(max_retries=8) as patient:
        running = server.begin_to_wait("alice")
        with pytest.raises(openai.RateLimitError):
            alice.responses.create(input="chat")

        def cancel(_: httpx2.Response | Any) -> None:
            alice.responses.cancel(running)

        patient._client.event_hooks["response"] = [cancel]
        assert patient.responses.create(input="chat").status == "completed"


def test_a_socket_is_told_and_goes_on_with_what_it_remembers(served: Callable[..., Keyed]) -> None:
    server = served(turns=1)
    url = server.url.replace("http:", "ws:") + "/responses"
    with server.client("alice") as alice, connect(url, additional_headers=server.headers("alice")) as socket:

        def turn(**fields: Any) -> dict[str, Any]:
            socket.send(json.dumps({"type": "response.create", "store": False, **fields}))
            while True:
                event: dict[str, Any] = json.loads(socket.recv(timeout=60))
                if event["type"] in ("response.completed", "error"):
                    return event

        first = turn(input="chat")["response"]["id"]
        running = server.begin_to_wait("alice")
        error = turn(input="chat", previous_response_id=first)
        assert (error["status"], error["error"]["code"]) == (429, "turns_limit_reached")
        alice.responses.cancel(running)
        again = turn(input="chat", previous_response_id=first)
        assert again["type"] == "response.completed", "what is kept nowhere else was not forgotten"


# --- containers --------------------------------------------------------------------------------------------


def test_one_container_too_many(served: Callable[..., Keyed]) -> None:
    server = served(containers=1)
    with server.client("alice") as alice, server.client("bob") as bob:
        own = alice.containers.create(name="one")
        for path, body in (
            ("/v1/containers", {"name": "two"}),
            ("/v1/responses", {"input": "make a file", "tools": [SHELL]}),
            ("/v1/responses", {"input": "make a file", "tools": [SHELL], "stream": True}),
        ):
            headers = refused(server.ask("alice", "POST", path, json=body), "containers_limit_reached")
            assert headers["x-should-retry"] == "false", "waiting alone does not help"
        assert [each.id for each in alice.containers.list()] == [own.id]
        bob.containers.create(name="another's")
        bob.containers.create(name="and one more")
        alice.containers.delete(own.id)
        assert alice.responses.create(input="make a file", tools=[SHELL]).status == "completed"


def test_of_many_at_once_as_many_as_may_be_are_made(served: Callable[..., Keyed]) -> None:
    server = served(containers=2)

    async def all_at_once() -> list[int]:
        async with httpx2.AsyncClient(headers=server.headers("alice"), timeout=60) as client:
            asked = [client.post(f"{server.url}/containers", json={"name": "c"}) for _ in range(6)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert sorted(asyncio.run(all_at_once())) == [200, 200, 429, 429, 429, 429]


def test_an_expired_container_comes_back_when_there_is_room(served: Callable[..., Keyed]) -> None:
    server = served(containers=1)
    with server.client("alice") as alice:
        made: Any = alice.responses.create(input="make a file", tools=[SHELL])
        container = made.tools[0].environment.container_id
        asyncio.run(expire(server, container))
        other = alice.containers.create(name="in its place")
        turn = {"input": "look again", "tools": [SHELL], "previous_response_id": made.id}
        refused(server.ask("alice", "POST", "/v1/responses", json=turn), "containers_limit_reached")
        files = server.ask("alice", "GET", f"/v1/containers/{container}/files")
        refused(files, "containers_limit_reached")
        alice.containers.delete(other.id)
        later: Any = alice.responses.create(**turn)
        assert later.output_text == "It says hello."
        assert later.tools[0].environment.container_id == container


async def expire(server: Keyed, container: str) -> None:
    """Its time is over: the timer of the running server is told so, and it is waited for."""
    containers = server.runtime.containers
    timer = containers._lifecycle.timer
    loop = timer._task.get_loop()  # type: ignore[union-attr]
    store = server.runtime._tenants.parts.store.rows

    async def there() -> None:
        row = await store.container(container)
        assert row is not None
        await store._do(  # type: ignore[attr-defined]
            lambda db: db.execute(
                "UPDATE containers SET last_active_at = 0, expires_after = 0 WHERE id = ?", (container,)
            )
        )
        containers.refresh()
        async with asyncio.timeout(60):
            while (row := await store.container(container)) and row.status != "expired":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        async with containers._lifecycle.attachment(container).lock:  # until it has been removed, too
            pass
        await store._do(  # type: ignore[attr-defined]
            lambda db: db.execute("UPDATE containers SET expires_after = 20 WHERE id = ?", (container,))
        )

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), loop))


# --- stored bytes ------------------------------------------------------------------------------------------


def upload(server: Keyed, name: str, size: int) -> httpx2.Response:
    form = {"purpose": "user_data"}
    return server.ask(name, "POST", "/v1/files", files={"file": ("f", b"x" * size)}, data=form)


def kept(server: Keyed) -> int:
    return sum(path.stat().st_size for path in (server.folder / "files").iterdir())


def test_files_fill_up_what_a_key_may_store(served: Callable[..., Keyed]) -> None:
    server = served(stored_bytes=1000)
    first = upload(server, "alice", 600).json()["id"]
    headers = refused(upload(server, "alice", 401), "stored_bytes_limit_reached")
    assert headers["x-should-retry"] == "false"
    refused(upload(server, "alice", 1 << 19), "stored_bytes_limit_reached")
    assert kept(server) == 600, "nothing partial is left"
    assert upload(server, "alice", 400).status_code == 200
    refused(upload(server, "alice", 1), "stored_bytes_limit_reached")
    assert upload(server, "bob", 5000).status_code == 200
    assert server.ask("alice", "DELETE", f"/v1/files/{first}").status_code == 200
    assert upload(server, "alice", 600).status_code == 200


def test_files_that_come_at_once_do_not_get_past_it(served: Callable[..., Keyed]) -> None:
    server = served(stored_bytes=1000)

    async def all_at_once() -> list[int]:
        async with httpx2.AsyncClient(headers=server.headers("alice"), timeout=60) as client:
            asked = [
                client.post(
                    f"{server.url}/files", files={"file": ("f", b"x" * 400)}, data={"purpose": "user_data"}
                )
                for _ in range(6)
            ]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    asyncio.run(all_at_once())
    assert kept(server) <= 800
    stored = server.ask("alice", "GET", "/v1/files").json()["data"]
    assert sum(each["bytes"] for each in stored) == kept(server)


def test_a_key_keeps_of_expired_containers_what_it_may_store(served: Callable[..., Keyed]) -> None:
    """And pushes out nobody else's, however many it has."""
    server = served(stored_bytes=0)
    expired = {}
    for name in ("bob", "alice"):
        with server.client(name) as client:
            made: Any = client.responses.create(input="make a file", tools=[SHELL])
            expired[name] = made.tools[0].environment.container_id
            asyncio.run(expire(server, expired[name]))
    deadline = time.monotonic() + 60
    files = {"alice": 0, "bob": 0}
    while files["alice"] != 400:  # the timer prunes after it has expired
        assert time.monotonic() < deadline
        files = {
            name: server.ask(name, "GET", f"/v1/containers/{container}/files").status_code
            for name, container in expired.items()
        }
    assert files == {"alice": 400, "bob": 200}


# --- requests ----------------------------------------------------------------------------------------------


def test_requests_are_counted_and_the_answers_say_how_many_are_left(served: Callable[..., Keyed]) -> None:
    server = served(requests_per_minute=2)
    for left in ("1", "0"):
        answer = server.ask("alice", "GET", "/v1/models")
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
        assert answer.headers["x-ratelimit-remaining-requests"] == left
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
    answer = server.ask("alice", "GET", "/v1/models")
    headers = refused(answer, "rate_limit_exceeded")
    assert 0 < int(headers["retry-after"]) <= 30
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-ratelimit-limit-requests" not in server.ask("bob", "GET", "/v1/models").headers
    assert server.ask("", "GET", "/healthz").status_code == 200


def test_messages_on_a_socket_are_requests(served: Callable[..., Keyed]) -> None:
    server = served(requests_per_minute=2)
    url = server.url.replace("http:", "ws:") + "/responses"
    with connect(url, additional_headers=server.headers("alice")) as socket:  # the first
        seen = []
        for _ in range(2):
            socket.send(json.dumps({"type": "response.create", "input": "chat"}))
            while (event := json.loads(socket.recv(timeout=60)))["type"] not in (
                "response.completed",
                "error",
            ):
                pass
            seen.append((event["type"], event.get("status")))
    assert seen == [("response.completed", None), ("error", 429)]


def test_server_limits_apply_to_keys_without_limits(tmp_path: Path, toolbox: Toolbox) -> None:
    people = {"alice": KeyLimits(), "bob": KeyLimits(requests_per_minute=7)}
    with keyed_server(tmp_path, toolbox, people, limits=KeyLimits(requests_per_minute=3)) as server:
        for name, most in (("alice", "3"), ("bob", "7"), ("", "3")):
            assert server.ask(name, "GET", "/v1/models").headers["x-ratelimit-limit-requests"] == most


def test_a_bucket_fills_evenly_and_not_over() -> None:
    now = [0.0]
    rate = Rate(60, clock=lambda: now[0])
    for _ in range(60):
        rate.take()
    with pytest.raises(LimitReached) as over:
        rate.take()
    assert over.value.retry_after == pytest.approx(1)
    now[0] += 1.5
    rate.take()
    with pytest.raises(LimitReached) as over:
        rate.take()
    assert over.value.retry_after == pytest.approx(0.5)
    assert dict(rate.headers())[b"x-ratelimit-reset-requests"] == b"1m0s"
    now[0] += 10_000
    assert dict(rate.headers())[b"x-ratelimit-remaining-requests"] == b"60"
    nothing = Rate(0, clock=lambda: now[0])
    with pytest.raises(LimitReached):
        nothing.take()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.12, "120ms"), (0.9999, "1s"), (1, "1s"), (59.1, "1m0s"), (60, "1m0s"), (75, "1m15s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
