"""Read-only hosts over HTTP: curl in a sandbox reads a real HTTPS server, and cannot write to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import openai
import pytest

from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.network import secrets
from agent_kernel.runtime.network.egress import NetworkOptions
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.egress.tls.outside import NAME, OTHER, HttpsServer
from tests.server.containers.test_network import allowlist, ran, records
from tests.server.containers.test_secrets import https as https_server
from tests.server.keyed import Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap

https = https_server
RULE = f"GET {NAME}"


async def public(name: str) -> list[Address]:
    return [ip_address("9.9.9.9")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox, https: HttpsServer) -> Iterator[Keyed]:
    options = NetworkOptions(resolver=public, dialler=https.dial, trust=https.trust)
    settings = ContainerOptions(network=NetworkPolicy.parse([RULE, OTHER]), network_options=options)
    with keyed_server(tmp_path_factory.mktemp("data"), toolbox, {}, settings=settings) as server:
        yield server


def auto(*entries: str) -> dict[str, Any]:
    return {"type": "container_auto", "network_policy": allowlist(*entries)}


def test_curl_reads_and_cannot_write(server: Keyed, https: HttpsServer) -> None:
    with server.client("") as client:
        first, before = ran(client, 'echo "${CURL_CA_BUNDLE-none}"', {"type": "container_auto"})
        assert before.stdout == "none\n"
        both = f"curl -sS https://{NAME}/ && curl -sS -d written https://{NAME}/"
        second, output = ran(client, both, auto(RULE), previous_response_id=first.id)
        reason = f"the rule `{RULE}` allows only GET, HEAD and OPTIONS, not POST"
        refused = f"This connection out of the sandbox was refused: {reason}.\n"
        assert output.stdout == f"received nothing\n{refused}"
        assert f"Network: {NAME}:443 was refused: {reason}." in output.stderr.splitlines()
        container = second.tools[0].environment.container_id
        assert client.containers.retrieve(container).network_policy.allowed_domains == [RULE]  # type: ignore[union-attr]
        third, after = ran(
            client, 'echo "${CURL_CA_BUNDLE-none}"', auto(OTHER), previous_response_id=second.id
        )
        assert (after.stdout, third.tools[0].environment.container_id) == ("none\n", container)
    assert [got.method for got in https.got] == [b"GET"]
    assert [(each["decision"], each["rule"]) for each in records(server, container)] == [
        ("allowed", RULE),
        ("refused", RULE),
    ]


def test_wider_or_unreadable_policy_creates_nothing(server: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    with server.client("") as client:
        before = client.containers.list(limit=100).data
        with pytest.raises(openai.BadRequestError, match="does not allow") as refused:
            client.containers.create(name="x", network_policy=allowlist(NAME))  # type: ignore[arg-type]
        assert RULE in json.dumps(refused.value.body)
        monkeypatch.setattr(secrets, "_NEEDED", ("a_package_that_is_missing",))
        with pytest.raises(openai.BadRequestError, match="needs packages that are missing here"):
            client.containers.create(name="x", network_policy=allowlist(RULE))  # type: ignore[arg-type]
        assert client.containers.list(limit=100).data == before
