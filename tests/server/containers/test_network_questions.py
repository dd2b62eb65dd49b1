"""Questions about the network over HTTP and a WebSocket: asked and answered while the command runs."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.errors import InvalidRequest
from agent_kernel.keys import KeyLimits
from agent_kernel.policy.rules import read_policy
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.network.egress import NetworkOptions
from agent_kernel.runtime.remote.runtime import RemoteRuntime
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.server.containers.test_network import loopback
from tests.server.keyed import Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap

ASKS = "mcp_approval_request"
RULES = {"rules": [{"host": "never.internal", "action": "deny", "reason": "Use the mirror."}]}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a service on loopback that says hello."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connected, _ = listening.accept()
            except OSError:  # closed at the end
                return
            with connected:
                connected.sendall(b"hello\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox, port: int) -> Iterator[Keyed]:
    bound = NetworkPolicy.parse([f"tcp://{name}.internal:{port}" for name in ("echo", "never")])
    options = ContainerOptions(network=bound, network_options=NetworkOptions(resolver=loopback))
    data = tmp_path_factory.mktemp("data")
    people = {"alice": KeyLimits(), "bob": KeyLimits()}
    with keyed_server(data, toolbox, people, settings=options, approval=read_policy(RULES)) as server:
        yield server


def body(port: int, name: str = "echo", **more: Any) -> dict[str, Any]:
    """A request that runs a command which connects, in a container that asks."""
    policy = {"type": "ask", "allowed_domains": []}
    environment = {"type": "container_auto", "network_policy": policy}
    return {
        "model": "agent_kernel/shell",
        "input": f"cat < /dev/tcp/{name}.internal/{port}",
        "tools": [{"type": "shell", "environment": environment}],
        "agent_kernel": {"answers": True},
        **more,
    }


def answer(item: dict[str, Any], approve: bool = True, **more: Any) -> dict[str, Any]:
    return {"approval_request_id": item["id"], "approve": approve, "type": "mcp_approval_response", **more}


def heard(socket: Connection, event_type: str, item_type: str = "") -> dict[str, Any]:
    """Return the next event of a type; of items, the next one of a type."""
    while True:
        event: dict[str, Any] = json.loads(socket.recv(30))
        if event["type"] == event_type and item_type in ("", event.get("item", {}).get("type")):
            return event


def output(response: dict[str, Any]) -> dict[str, Any]:
    (found,) = (item for item in response["output"] if item["type"] == "shell_call_output")
    content: dict[str, Any] = found["output"][0]
    return content


def test_streamed_question_is_answered_by_its_key_only(server: Keyed, port: int) -> None:
    given = body(port)
    ours: Any = {"extra_body": {"agent_kernel": given.pop("agent_kernel")}, "stream": True}
    with server.client("alice") as alice, alice.responses.create(**given, **ours) as events:
        for event in events:
            if event.type == "response.created":
                path = f"/v1/responses/{event.response.id}/agent_kernel/approvals"
            if event.type == "response.output_item.done" and event.item.type == ASKS:
                given = answer(event.item.to_dict(), agent_kernel={"scope": "container"})
                other = server.ask("bob", "POST", path, json=given)
                assert (other.status_code, other.json()["error"]["code"]) == (400, "approval_not_open")
                assert server.ask("alice", "POST", path, json={**given, "approve": 1}).status_code == 400
                accepted = server.ask("alice", "POST", path, json=given)
                assert accepted.json() == {"object": "agent_kernel.approval", "id": event.item.id}
                late = server.ask("alice", "POST", path, json=given)
                assert late.json()["error"]["code"] == "approval_not_open"
        assert event.type == "response.completed"
        ended = event.response.to_dict()
    assert output(ended)["stdout"] == "hello\n"
    (answered,) = (item for item in ended["output"] if item["type"] == "mcp_approval_response")
    assert answered["agent_kernel"] == {"by": "alice", "scope": "container"}
    (container,) = server.ask("alice", "GET", "/v1/containers").json()["data"]
    domains = [f"tcp://echo.internal:{port}"]
    assert container["network_policy"] == {"type": "allowlist", "allowed_domains": domains}
    assert container["agent_kernel"]["network_policy"] == {"type": "ask", "allowed_domains": domains}


def test_socket_takes_answers_while_a_turn_runs(server: Keyed, port: int) -> None:
    url = server.url.replace("http:", "ws:") + "/responses"
    with connect(url, additional_headers=server.headers("bob")) as socket:
        socket.send(json.dumps({"type": "response.create", **body(port)}))
        created, asked = heard(socket, "response.created"), heard(socket, "response.output_item.done", ASKS)
        said = {"type": "agent_kernel.answer", "response_id": created["response"]["id"]}
        socket.send(json.dumps({**said, "answer": "yes"}))
        assert heard(socket, "error")["error"]["param"] == "answer"
        given = answer(asked["item"], False, reason="not now")
        socket.send(json.dumps({**said, "answer": given}))
        ended = heard(socket, "response.completed")
    why = "denied by the person who was asked: not now."
    assert output(ended["response"])["stderr"].endswith(f"Network: echo.internal:{port} was refused: {why}\n")


def polled(server: Keyed, response_id: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return a response once it is as wanted, as a client asks for it that follows no stream."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        response: dict[str, Any] = server.ask("alice", "GET", f"/v1/responses/{response_id}").json()
        if done(response):
            return response
        time.sleep(0.05)
    raise AssertionError(response)


def test_question_in_the_background_is_answered_without_a_stream(server: Keyed, port: int) -> None:
    def asked(response: dict[str, Any]) -> list[dict[str, Any]]:
        return [item for item in response["output"] if item["type"] == ASKS]

    started = server.ask("alice", "POST", "/v1/responses", json=body(port, background=True)).json()
    (question,) = asked(polled(server, started["id"], lambda found: bool(asked(found))))
    path = f"/v1/responses/{started['id']}/agent_kernel/approvals"
    assert server.ask("alice", "POST", path, json=answer(question)).status_code == 200
    ended = polled(server, started["id"], lambda found: found["status"] not in ("queued", "in_progress"))
    assert (ended["status"], output(ended)["stdout"]) == ("completed", "hello\n")
    later = body(port, previous_response_id=started["id"], input=[answer(question)], stream=True)
    refused = server.ask("alice", "POST", "/v1/responses", json=later).json()["error"]
    assert (refused["code"], refused["param"]) == ("approval_not_open", "input")
    assert "add it to allowed_domains of this request's network_policy" in refused["message"]


async def test_remote_runtime_answers(server: Keyed, port: int) -> None:
    """As a kernel does that runs on a server."""
    runtime = RemoteRuntime(server.url, server.secrets["bob"])
    ended: Any = None
    try:
        async with aclosing(runtime.respond(body(port, stream=True))) as events:
            async for event in events:
                ended = getattr(event, "response", ended)
                if event.type == "response.output_item.done" and event.item.type == ASKS:
                    with pytest.raises(InvalidRequest, match="No open question"):
                        await runtime.answer("resp_other", answer(event.item.to_dict()))
                    await runtime.answer(ended.id, answer(event.item.to_dict()))
    finally:
        await runtime.aclose()
    assert output(ended.to_dict())["stdout"] == "hello\n"
    (used,) = ended.to_dict()["agent_kernel"]["network"]
    assert (used["host"], used["connections"]) == ("echo.internal", 1)


def test_answers_need_a_stream(server: Keyed, port: int) -> None:
    refused = server.ask("alice", "POST", "/v1/responses", json=body(port))
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "agent_kernel.answers"


def test_rule_of_the_operator_denies_without_a_question(server: Keyed, port: int) -> None:
    request = body(port, "never", agent_kernel={})
    response = server.ask("alice", "POST", "/v1/responses", json=request, timeout=60).json()
    reason = "denied by a rule: Use the mirror."
    assert f"Network: never.internal:{port} was refused: {reason}" in output(response)["stderr"]
