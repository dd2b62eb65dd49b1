"""Limits, volumes and mounts over HTTP: asked for at two places, shown, told to the model, refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from agent_kernel.keys import KeyLimits
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.containers.resources import Allowed, Resources
from agent_kernel.sandboxes.mounts import HostMount
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.server.keyed import Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("mounts").resolve() / "sales"
    folder.mkdir()
    (folder / "a.csv").write_text("x\n1\n")
    allowed = Allowed(
        Resources(open_files=500), volumes=True, mounts={"sales": HostMount("sales", str(folder))}
    )
    people = {"alice": KeyLimits(), "bob": KeyLimits()}
    data = tmp_path_factory.mktemp("data")
    with keyed_server(data, toolbox, people, settings=ContainerOptions(allowed=allowed)) as server:
        yield server


def turn(client: OpenAI, command: str, environment: dict[str, Any]) -> str:
    """Run one command in a turn, and return what it printed."""
    tools: Any = [{"type": "shell", "environment": environment}]
    response = client.responses.create(model="agent_kernel/shell", input=command, tools=tools)
    outputs = [item for item in response.output if item.type == "shell_call_output"]
    return outputs[0].output[0].stdout


def test_a_container_of_the_standard_client_has_limits(server: Keyed) -> None:
    asked = {"agent_kernel": {"open_files": 100, "mounts": ["sales"]}}
    with server.client("alice") as alice:
        made = alice.containers.create(name="limited", extra_body=asked)
        for found in (made, alice.containers.retrieve(made.id), alice.containers.list().data[0]):
            shown = (found.model_extra or {})["agent_kernel"]
            assert (shown["open_files"], shown["mounts"]) == (100, ["sales"])
        named = {"type": "container_reference", "container_id": made.id}
        assert turn(alice, "ulimit -n; cat /mnt/sales/a.csv", named) == "100\nx\n1\n"


def test_container_auto_takes_the_same_field(server: Keyed) -> None:
    with server.client("alice") as alice:
        environment = {"type": "container_auto", "agent_kernel": {"open_files": 90, "mounts": ["sales"]}}
        assert turn(alice, "ulimit -n; ls /mnt", environment) == "90\ndata\nsales\n"
        with pytest.raises(openai.BadRequestError, match="at most 500 here") as refused:
            turn(alice, "true", {"type": "container_auto", "agent_kernel": {"open_files": 501}})
        assert refused.value.param == "agent_kernel.open_files"


def test_wrong_fields_name_their_place(server: Keyed) -> None:
    with server.client("alice") as alice:
        with pytest.raises(openai.BadRequestError, match="No such field") as refused:
            turn(alice, "true", {"type": "container_auto", "agent_kernel": {"gpu": 1}})
        assert refused.value.param == "tools[0].environment.agent_kernel.gpu"
        with pytest.raises(openai.BadRequestError) as refused:
            alice.containers.create(name="x", extra_body={"agent_kernel": {"mounts": ["/etc"]}})
        assert refused.value.param == "agent_kernel.mounts"


def test_mounts_are_listed_without_the_hosts_paths(server: Keyed) -> None:
    answer = server.ask("bob", "GET", "/v1/containers/agent_kernel/mounts")
    sales = {"object": "agent_kernel.mount", "name": "sales", "path": "/mnt/sales"}
    assert answer.json() == {"object": "list", "data": [sales], "has_more": False}


def test_two_keys_never_share_a_volume(server: Keyed) -> None:
    environment = {"type": "container_auto", "agent_kernel": {"volume": "notes"}}
    with server.client("alice") as alice, server.client("bob") as bob:
        assert turn(alice, "echo hers > mine.txt; ls", environment) == "mine.txt\n"
        assert turn(bob, "ls", environment) == ""
        assert turn(alice, "cat mine.txt", environment) == "hers\n"
