"""Networks over HTTP, from the request to a real server: allowed, refused, told to the model, changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.presets.ask import Route
from agent_kernel.egress.presets.operator import Operator
from agent_kernel.egress.presets.presets import Presets
from agent_kernel.keys import KeyLimits
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.network.egress import NetworkOptions
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.server.keyed import Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap


class Page(BaseHTTPRequestHandler):
    """Answers every GET with its path."""

    def do_GET(self) -> None:
        body = f"page {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


async def loopback(name: str) -> list[Address]:
    return [ip_address("127.0.0.1")]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a real web server on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def operator(home: Path, port: int) -> Operator:
    """An operator without programs, whose npm is configured for the server, and Go for another one."""
    (home / ".npmrc").write_text(f"registry=http://pages.internal:{port}/\n")
    return Operator({"HOME": str(home), "GOPROXY": "https://wider.example"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox, port: int) -> Iterator[Keyed]:
    bound = NetworkPolicy.parse([f"tcp://pages.internal:{port}", f"tcp://more.internal:{port}", "npm"])
    data = tmp_path_factory.mktemp("data")
    options = ContainerOptions(
        network=bound,
        presets=Presets(operator(data, port), Route(bound.rules, loopback)),
        network_options=NetworkOptions(resolver=loopback),
    )
    people = {"alice": KeyLimits(), "bob": KeyLimits()}
    with keyed_server(data, toolbox, people, settings=options) as server:
        yield server


def allowlist(*entries: str) -> dict[str, Any]:
    return {"type": "allowlist", "allowed_domains": list(entries)}


def ran(client: OpenAI, command: str, environment: dict[str, Any], **more: Any) -> Any:
    """Run one command in a turn, and return the response with what it printed."""
    tools: Any = [{"type": "shell", "environment": environment}]
    response = client.responses.create(model="agent_kernel/shell", input=command, tools=tools, **more)
    outputs = [item for item in response.output if item.type == "shell_call_output"]
    return response, outputs[0].output[0]


FETCH = (
    "import sys, urllib.request as r\n"
    "try: print(r.urlopen(sys.argv[1], timeout=20).read().decode(), end='')\n"
    "except OSError as error: print(type(error).__name__)"
)


def fetch(url: str) -> str:
    """A command that ignores the proxy variables, as many programs do."""
    return f'env -u http_proxy -u HTTP_PROXY python3 -c "{FETCH}" {url}'


def records(server: Keyed, container: str) -> list[dict[str, Any]]:
    return [
        each for each in server.audited() if each["event"] == "connection" and each["container"] == container
    ]


def test_allowed_page_arrives_and_others_are_refused(server: Keyed, port: int) -> None:
    policy = allowlist(f"pages.internal:{port}")
    environment = {"type": "container_auto", "network_policy": policy}
    with server.client("alice") as alice:
        first, page = ran(alice, fetch(f"http://pages.internal:{port}/a"), environment)
        assert (page.stdout, page.stderr) == ("page /a\n", "")
        assert page.outcome.exit_code == 0
        both = f"{fetch(f'http://more.internal:{port}/b')}; curl -sS http://other.example/ -o /dev/null"
        second, denied = ran(alice, both, environment, previous_response_id=first.id)
        lines = denied.stderr.splitlines()
        assert f"Network: more.internal:{port} was refused: not in the allowlist." in lines
        assert "Network: other.example:80 was refused: not in the allowlist." in lines
        container = second.tools[0].environment.container_id
        assert container == first.tools[0].environment.container_id
        found = alice.containers.retrieve(container)
        assert found.network_policy is not None
        assert found.network_policy.allowed_domains == [f"tcp://pages.internal:{port}"]
    allowed, *refused = records(server, container)
    assert (allowed["response"], allowed["decision"], allowed["address"]) == (
        first.id,
        "allowed",
        "127.0.0.1",
    )
    assert allowed["received"] > len("page /a\n")
    assert {(each["response"], each["decision"]) for each in refused} == {(second.id, "refused")}
    report = server.ask("alice", "GET", f"/v1/containers/{container}/agent_kernel/network").json()
    assert report["object"] == "agent_kernel.network"
    names = {each["name"]: (each["connections"], each["refused"]) for each in report["destinations"]}
    assert names["pages.internal"] == (1, 0)
    assert names["other.example"] == (0, 1)


def test_policy_can_be_changed_and_switched_off(server: Keyed, port: int) -> None:
    with server.client("alice") as alice:
        first, page = ran(alice, fetch(f"http://more.internal:{port}/"), {"type": "container_auto"})
        assert f"Network: more.internal:{port} was refused" in page.stderr
        container = first.tools[0].environment.container_id
        named = {"type": "container_reference", "container_id": container}
        path = f"/v1/containers/{container}/agent_kernel/network"
        changed = server.ask("alice", "POST", path, json=allowlist(f"more.internal:{port}"))
        assert changed.json()["network_policy"] == allowlist(f"tcp://more.internal:{port}")
        assert ran(alice, fetch(f"http://more.internal:{port}/c"), named)[1].stdout == "page /c\n"
        assert server.ask("alice", "POST", path, json={"type": "disabled"}).status_code == 200
        assert "was refused" in ran(alice, fetch(f"http://more.internal:{port}/d"), named)[1].stderr
        for body, status in ((allowlist("wider.example"), 400), (allowlist(), 400), ({}, 400)):
            assert server.ask("alice", "POST", path, json=body).status_code == status
        assert server.ask("bob", "POST", path, json={"type": "disabled"}).status_code == 404
        assert server.ask("bob", "GET", path).status_code == 404


def test_older_shell_shape_takes_a_policy(server: Keyed, port: int) -> None:
    with server.client("alice") as alice:
        container = {"type": "auto", "network_policy": allowlist(f"pages.internal:{port}")}
        tools: Any = [{"type": "shell", "container": container}]
        command = fetch(f"http://pages.internal:{port}/e")
        response = alice.responses.create(model="agent_kernel/shell", input=command, tools=tools)
        output: Any = response.output[-1]
        assert output.output[0].stdout == "page /e\n"


def test_preset_stands_for_its_hosts(server: Keyed, port: int) -> None:
    with server.client("bob") as bob:
        policy = {"network_policy": allowlist("npm")}
        made = bob.containers.create(name="preset", extra_body=policy)
        assert made.network_policy is not None
        assert made.network_policy.allowed_domains == [f"tcp://pages.internal:{port}"]
        named = {"type": "container_auto", **policy}
        command = f"{fetch(f'http://pages.internal:{port}/p')}; echo $NPM_CONFIG_REGISTRY"
        assert ran(bob, command, named)[1].stdout == f"page /p\nhttp://pages.internal:{port}/\n"
        bob.containers.delete(made.id)
        for each in bob.containers.list():
            bob.containers.delete(each.id)


@pytest.mark.parametrize(
    ("entry", "code", "message"),
    [
        ("nosuch", "unknown_network_preset", "There is no preset `nosuch`. The presets are apt, cargo,"),
        ("go", "network_policy_not_allowed", "does not allow the preset go. It needs wider.example:443."),
        ("cran", "network_preset_without_hosts", "cran names no host on this machine: R is not installed."),
    ],
)
def test_refused_preset_creates_nothing(server: Keyed, entry: str, code: str, message: str) -> None:
    policy = {"network_policy": allowlist(entry)}
    with server.client("bob") as bob:
        with pytest.raises(openai.BadRequestError) as refused:
            bob.containers.create(name="preset", extra_body=policy)
        assert refused.value.code == code
        assert (refused.value.param or "").startswith("network_policy.allowed_domains")
        assert message in refused.value.message
        with pytest.raises(openai.BadRequestError) as refused:
            ran(bob, "true", {"type": "container_auto", **policy})
        assert (refused.value.code, message in refused.value.message) == (code, True)
        assert bob.containers.list().data == []


def test_wrong_policy_creates_nothing(server: Keyed) -> None:
    with server.client("bob") as bob:
        for policy in (allowlist(), allowlist("not/valid"), allowlist("wider.example")):
            with pytest.raises(openai.BadRequestError) as refused:
                ran(bob, "true", {"type": "container_auto", "network_policy": policy})
            assert "network_policy.allowed_domains" in (refused.value.param or "")
        assert bob.containers.list().data == []
    bound = server.ask("bob", "GET", "/v1/containers/agent_kernel/network").json()
    assert bound["type"] == "allowlist"
    assert bound["allowed_domains"][0] == "npm"
