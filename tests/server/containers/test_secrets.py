"""Domain secrets over HTTP: a command uses one, and its value is in nothing that is kept or answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import openai
import pytest

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.network.egress import NetworkOptions
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.egress.tls.outside import NAME, VALUE, Given, Got, HttpsServer
from tests.server.containers.test_network import loopback, ran
from tests.server.keyed import Keyed, keyed_server
from tests.server.test_secrets import kept

pytestmark = pytest.mark.bubblewrap


def repeat(got: Got) -> Given:
    return Given(pieces=[b"received " + got.headers.get(b"authorization", b"nothing") + b"\n"])


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    """A real server in a thread that repeats the Authorization header."""
    server = HttpsServer(tmp_path_factory.mktemp("https"), ("http/1.1",))
    server.answer = repeat
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def main() -> None:
        await server.start()
        end = asyncio.Event()
        running.set_result((asyncio.get_running_loop(), end))
        await end.wait()
        server.server.close()
        await server.server.wait_closed()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    loop, end = running.result(30)
    yield server
    loop.call_soon_threadsafe(end.set)
    thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox, https: HttpsServer) -> Iterator[Keyed]:
    bound = NetworkPolicy.parse([f"tcp://{NAME}:{https.port}"])
    options = NetworkOptions(resolver=loopback, trust=https.trust)
    settings = ContainerOptions(network=bound, network_options=options)
    with keyed_server(tmp_path_factory.mktemp("data"), toolbox, {}, settings=settings) as server:
        yield server


def auto(https: HttpsServer, **changed: Any) -> dict[str, Any]:
    secret = {"domain": NAME, "name": "TOKEN", "value": VALUE, **changed}
    policy = {
        "type": "allowlist",
        "allowed_domains": [f"{NAME}:{https.port}"],
        "domain_secrets": [secret],
    }
    return {"type": "container_auto", "network_policy": policy}


def fetch(https: HttpsServer) -> str:
    return f'curl -sS -H "Authorization: Bearer $TOKEN" https://{NAME}:{https.port}/'


@pytest.mark.parametrize("more", [{}, {"background": True}], ids=["whole", "later"])
def test_value_is_used_and_kept_nowhere(
    server: Keyed, https: HttpsServer, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with server.client("") as client:
        tools: Any = [{"type": "shell", "environment": auto(https)}]
        asked: dict[str, Any] = {"model": "agent_kernel/shell", "input": fetch(https), "tools": tools}
        with client.responses.create(stream=True, **asked, **more) as events:
            response: Any = list(events)[-1].response
        assert response.output[-1].output[0].stdout.startswith("received Bearer secret_")
        assert https.got[-1].headers[b"authorization"] == f"Bearer {VALUE}".encode()
        container = response.tools[0].environment.container_id
        again, output = ran(client, fetch(https), auto(https), previous_response_id=response.id)
        assert again.tools[0].environment.container_id == container
        assert output.stdout.startswith("received Bearer secret_")
        said = [
            response.model_dump_json(),
            client.responses.retrieve(response.id).to_json(),
            client.containers.retrieve(container).to_json(),
            server.ask("", "GET", f"/v1/containers/{container}/agent_kernel/network").text,
        ]
    assert '"name": "TOKEN"' in said[2]
    for text in (*said, kept(server), caplog.text):
        assert VALUE not in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": "other.internal"},
        {"domain": f"*.{NAME}"},
        {"name": "PATH"},
        {"name": VALUE},
        {"value": VALUE + "\n"},
        {"value": [VALUE]},
        {VALUE: VALUE},
    ],
)
def test_wrong_secret_creates_nothing(
    server: Keyed, https: HttpsServer, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    environment = auto(https, **wrong)
    with server.client("") as client:
        before = client.containers.list(limit=100).data
        with pytest.raises(openai.BadRequestError) as refused:
            ran(client, "true", environment)
        assert "network_policy.domain_secrets" in (refused.value.param or "")
        with pytest.raises(openai.BadRequestError):
            client.containers.create(name="x", network_policy=environment["network_policy"])
        assert client.containers.list(limit=100).data == before
    assert VALUE not in kept(server) + caplog.text
    if wrong.keys() <= {"domain", "value"}:
        assert VALUE not in refused.value.response.text
