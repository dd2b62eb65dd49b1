"""What is another's does not exist, wherever it is asked for: every endpoint, every field, every message.

The endpoints come from the server's own table: one that is new is tried as well, and fails here until
it has been said which of the things below its path is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from agent_kernel.keys import KeyLimits
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.server.endpoint import Endpoint
from agent_kernel.server.openapi import schemas
from agent_kernel.server.routes import ENDPOINTS
from tests.server.keyed import SHELL, Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap

MANIFEST = b"---\nname: counting\ndescription: Counts words.\n---\n"


class World:
    """A server, one of everything that is Alice's, and Bob's container, its snapshot and a conversation."""

    def __init__(self, server: Keyed) -> None:
        self.server = server
        with server.client("alice") as alice, server.client("bob") as bob:
            self.file = alice.files.create(file=("a.txt", b"alice's"), purpose="user_data").id
            made: Any = alice.responses.create(input="make a file", tools=[SHELL])
            self.response = made.id
            self.container = made.tools[0].environment.container_id
            self.container_file = next(iter(alice.containers.files.list(self.container))).id
            self.conversation = alice.conversations.create().id
            alice.responses.create(input="chat", conversation=self.conversation)
            self.item = str(alice.conversations.items.list(self.conversation).data[0].id)
            self.running = server.begin_to_wait("alice")
            self.store = alice.vector_stores.create(name="a", file_ids=[self.file]).id
            batch = alice.vector_stores.file_batches.create(self.store, file_ids=[self.file])
            self.batch = batch.id
            self.upload = alice.uploads.create(
                bytes=1, filename="u", mime_type="text/plain", purpose="user_data"
            ).id
            self.skill = alice.skills.create(files=[("SKILL.md", MANIFEST)]).id
            self.bobs_store = bob.vector_stores.create(name="b").id
            self.bobs_container = bob.containers.create(name="b").id
            self.bobs_conversation = bob.conversations.create().id
        self.session = self._session("alice", self.response, self.container)
        self.snapshot = self._snapshot("alice", self.container)
        self.bobs_snapshot = self._snapshot("bob", self.bobs_container)
        self.bobs_ids = (self.bobs_container, self.bobs_conversation, self.bobs_snapshot, self.bobs_store)
        self.secret_ids = [
            self.file, self.response, self.container, self.container_file, self.conversation, self.item,
            self.running, self.snapshot, self.session, self.store, self.batch, self.upload,
            self.skill,
        ]  # fmt: skip

    def _snapshot(self, name: str, container: str) -> str:
        made = self.server.ask(name, "POST", f"/v1/containers/{container}/agent_kernel/snapshots", json={})
        return str(made.json()["id"])

    def _session(self, name: str, response: str, container: str) -> str:
        body = {"name": f"{name}'s", "response_id": response, "container_id": container, "state": {"a": 1}}
        return str(self.server.ask(name, "POST", "/v1/agent_kernel/sessions", json=body).json()["id"])

    def all_of_alices(self) -> dict[str, Any]:
        """All that she can see, and nobody may change."""
        paths = [
            "/v1/containers", f"/v1/containers/{self.container}/files", "/v1/files",
            f"/v1/files/{self.file}/content", f"/v1/responses/{self.response}",
            f"/v1/responses/{self.response}/input_items", f"/v1/conversations/{self.conversation}",
            f"/v1/conversations/{self.conversation}/items",
            f"/v1/containers/{self.container}/files/{self.container_file}/content",
            f"/v1/containers/{self.container}/agent_kernel/snapshots",
            "/v1/agent_kernel/sessions", f"/v1/agent_kernel/sessions/{self.session}",
            "/v1/vector_stores", f"/v1/vector_stores/{self.store}/files",
            f"/v1/vector_stores/{self.store}/files/{self.file}/content",
            "/v1/skills", f"/v1/skills/{self.skill}/versions", f"/v1/skills/{self.skill}/content",
        ]  # fmt: skip
        seen = {path: self.server.ask("alice", "GET", path).content for path in paths}
        running = self.server.ask("alice", "GET", f"/v1/responses/{self.running}").json()
        without_use = {path: _without_use(content) for path, content in seen.items()}
        return {**without_use, "running": (running["id"], running["status"])}


def _without_use(content: bytes) -> Any:
    """A container was active when its files were looked at: that is not a change."""
    try:
        value = json.loads(content)
    except ValueError:
        return content
    for each in value.get("data", ()):
        each.pop("last_active_at", None)
    return value


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[World]:
    people = {"alice": KeyLimits(), "bob": KeyLimits()}
    with keyed_server(tmp_path_factory.mktemp("world"), toolbox, people) as server:
        yield World(server)


def unknown(real: str) -> str:
    """An id of the same shape that is nobody's."""
    return real[:-8] + "0" * 8


WITH_IDS = [each for each in ENDPOINTS if "{" in each.path and "{model" not in each.path]
"""Models are everybody's."""

BODIES: dict[str, dict[str, Any]] = {
    "ConversationUpdateParams": {"json": {"metadata": {"a": "b"}}},
    "ItemCreateParams": {"json": {"items": [{"type": "message", "role": "user", "content": "x"}]}},
    "ContainerFile": {"files": {"file": ("x", b"bob's")}},
    "SnapshotParams": {"json": {"name": "bob's"}},
    "VectorStoreUpdateParams": {"json": {"name": "bob's"}},
    "VectorStoreSearchParams": {"json": {"query": "alice"}},
    "VectorStoreFileCreateParams": {"json": {"file_id": "file-0"}},
    "VectorStoreFileUpdateParams": {"json": {"attributes": {"a": "b"}}},
    "VectorStoreFileBatchCreateParams": {"json": {"file_ids": ["file-0"]}},
    "SkillUpdateParams": {"json": {"default_version": "1"}},
    "SkillFiles": {"files": {"files": ("SKILL.md", MANIFEST)}},
    "UploadPart": {"files": {"data": ("x", b"y")}},
    "UploadCompleteParams": {"json": {"part_ids": []}},
}
WITH_SNAPSHOT = ("RestoreParams", "ForkParams")


def variants(world: World, endpoint: Endpoint) -> list[dict[str, str]]:
    """Ids for the endpoint's path, and for a body that names a snapshot, at least one of which is Alice's."""
    path = endpoint.path
    if "{snapshot_id}" in path or endpoint.body in WITH_SNAPSHOT:
        whole = [] if endpoint.body != "ForkParams" else [{"container_id": world.container}]
        return [
            {"container_id": world.container, "snapshot_id": world.snapshot},
            {"container_id": world.bobs_container, "snapshot_id": world.snapshot},
            {"container_id": world.container, "snapshot_id": world.bobs_snapshot},
            *whole,
        ]
    if "{container_id}/files/{file_id}" in path:
        return [
            {"container_id": world.container, "file_id": world.container_file},
            {"container_id": world.bobs_container, "file_id": world.container_file},
        ]
    if "{conversation_id}/items/{item_id}" in path:
        return [
            {"conversation_id": world.conversation, "item_id": world.item},
            {"conversation_id": world.bobs_conversation, "item_id": world.item},
        ]
    if "{vector_store_id}/" in path and "_id}" in path.partition("{vector_store_id}/")[2]:
        name, real = ("file_id", world.file) if "{file_id}" in path else ("batch_id", world.batch)
        return [{"vector_store_id": store, name: real} for store in (world.store, world.bobs_store)]
    if "{response_id}" in path:
        return [{"response_id": world.response}, {"response_id": world.running}]
    known = {
        "conversation_id": world.conversation, "container_id": world.container, "file_id": world.file,
        "session_id": world.session, "vector_store_id": world.store, "upload_id": world.upload,
        "skill_id": world.skill, "version": "1",
    }  # fmt: skip
    return [{name: known[name] for name in path.replace("}", "{").split("{")[1::2]}]


def answered(world: World, endpoint: Endpoint, ids: dict[str, str], query: str = "") -> httpx2.Response:
    path = endpoint.path.format(**ids) + query
    body = BODIES.get(endpoint.body or "", {})
    if endpoint.body in WITH_SNAPSHOT:
        body = {"json": {name: real for name, real in ids.items() if name == "snapshot_id"}}
    return world.server.ask("bob", endpoint.method, path, **body)


def said(response: httpx2.Response, ids: dict[str, str]) -> tuple[int, str, set[str]]:
    """All that there is to see of an answer, but for the ids and the time."""
    text = response.text
    for name, value in ids.items():
        text = text.replace(value, f"<{name}>")
    return response.status_code, text, set(response.headers)


@pytest.mark.parametrize("endpoint", WITH_IDS, ids=lambda each: f"{each.method} {each.path}")
def test_anothers_id_is_answered_as_an_unknown_one(world: World, endpoint: Endpoint) -> None:
    before = world.all_of_alices()
    queries = ["", "?stream=true", "?stream=true&starting_after=1"] if "stream" in endpoint.query else [""]
    for ids in variants(world, endpoint):
        nobodys = {name: real if real in world.bobs_ids else unknown(real) for name, real in ids.items()}
        for query in queries:
            anothers = said(answered(world, endpoint, ids, query), ids)
            assert anothers == said(answered(world, endpoint, nobodys, query), nobodys)
            assert anothers[0] in (400, 404)
    assert world.all_of_alices() == before


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if "{" not in e.path and e.method == "GET"],
                         ids=lambda each: each.path)  # fmt: skip
def test_no_list_shows_what_is_anothers(world: World, endpoint: Endpoint) -> None:
    text = world.server.ask("bob", "GET", endpoint.path).text
    assert not [each for each in (*world.secret_ids, "alice") if each in text]
    if "after" in endpoint.query:
        for real in (world.file, world.container):
            anothers, nobodys = (
                world.server.ask("bob", "GET", f"{endpoint.path}?after={each}")
                for each in (real, unknown(real))
            )
            assert said(anothers, {"id": real}) == said(nobodys, {"id": unknown(real)})


def shell(**environment: Any) -> dict[str, Any]:
    return {"input": "make a file", "tools": [{"type": "shell", "environment": environment}]}


def python(container: Any) -> dict[str, Any]:
    return {"input": "make a file", "tools": [{"type": "code_interpreter", "container": container}]}


def _reference(skill: str) -> dict[str, str]:
    return {"type": "skill_reference", "skill_id": skill}


def references(world: World) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """For each kind of body: bodies that name something of Alice's, and its id."""
    turns: list[tuple[str, dict[str, Any]]] = [
        (world.response, {"input": "chat", "previous_response_id": world.response}),
        (world.running, {"input": "chat", "previous_response_id": world.running}),
        (world.conversation, {"input": "chat", "conversation": world.conversation}),
        (world.conversation, {"input": "chat", "conversation": {"id": world.conversation}}),
        (world.item, {"input": [{"type": "item_reference", "id": world.item}]}),
    ]
    commands = [
        (world.container, shell(type="container_reference", container_id=world.container)),
        (world.file, shell(type="container_auto", file_ids=[world.file])),
        (world.container, python(world.container)),
        (world.skill, shell(type="container_auto", skills=[_reference(world.skill)])),
        (world.file, python({"type": "auto", "file_ids": [world.file]})),
        (
            world.store,
            {"input": "chat", "tools": [{"type": "file_search", "vector_store_ids": [world.store]}]},
        ),
    ]
    return {
        "ResponseCreateParams": [*turns, *commands],
        "CompactParams": [(real, {**body, "model": ""}) for real, body in turns],
        "InputTokenCountParams": turns,
        "ConversationCreateParams": [(world.item, {"items": [{"type": "item_reference", "id": world.item}]})],
        "ItemCreateParams": [(world.item, {"items": [{"type": "item_reference", "id": world.item}]})],
        "ContainerCreateParams": [
            (world.file, {"name": "c", "file_ids": [world.file]}),
            (world.skill, {"name": "c", "skills": [_reference(world.skill)]}),
        ],
        "ContainerFile": [(world.file, {"file_id": world.file})],
        "RestoreParams": [(world.snapshot, {"snapshot_id": world.snapshot})],
        "ForkParams": [
            (world.snapshot, {"snapshot_id": world.snapshot}),
            (world.snapshot, {"snapshot_id": world.snapshot, "name": "bob's"}),
        ],
        "SessionParams": [
            (world.session, {"id": world.session, "revision": 1}),
            (world.response, {"response_id": world.response}),
            (world.response, {"responses": [world.response]}),
            (world.container, {"container_id": world.container}),
        ],
        "SnapshotParams": [],
        "ConversationUpdateParams": [],
        "Upload": [],
        "VectorStoreCreateParams": [(world.file, {"file_ids": [world.file]})],
        "VectorStoreUpdateParams": [],
        "VectorStoreSearchParams": [],
        "VectorStoreFileCreateParams": [(world.file, {"file_id": world.file})],
        "VectorStoreFileUpdateParams": [],
        "VectorStoreFileBatchCreateParams": [
            (world.file, {"file_ids": [world.file]}),
            (world.file, {"files": [{"file_id": world.file}]}),
        ],
        "UploadCreateParams": [],
        "UploadPart": [],
        "SkillFiles": [],
        "ContainerSkills": [(world.skill, {"skills": [_reference(world.skill)]})],
        "SkillUpdateParams": [],
        "UploadCompleteParams": [],
    }


def test_every_kind_of_body_is_tried(world: World) -> None:
    kinds = {each.body for each in ENDPOINTS if each.body is not None}
    assert kinds == set(references(world)), "say in `references` what a new body can name"
    assert {name for name in schemas() if name.endswith("Params")} <= kinds


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.body], ids=lambda each: each.path)
def test_anothers_id_in_a_body_is_answered_as_an_unknown_one(world: World, endpoint: Endpoint) -> None:
    before = world.all_of_alices()
    path = endpoint.path.format(
        conversation_id=world.bobs_conversation,
        container_id=world.bobs_container,
        response_id="",
        file_id="",
        vector_store_id=world.bobs_store,
        batch_id="",
        upload_id="",
        skill_id="",
    )
    for real, body in references(world)[endpoint.body or ""]:
        for extra in (
            ({}, {"stream": True}, {"background": True}) if endpoint.body == "ResponseCreateParams" else ({},)
        ):
            anothers, nobodys = (
                world.server.ask("bob", "POST", path, json={**json.loads(text), **extra})
                for text in (json.dumps(body), json.dumps(body).replace(real, unknown(real)))
            )
            assert said(anothers, {"id": real}) == said(nobodys, {"id": unknown(real)})
            assert anothers.status_code in (400, 404)
    assert world.all_of_alices() == before


def test_anothers_container_in_a_conversation_that_is_sent_again(world: World) -> None:
    call = {"type": "shell_call", "call_id": "c", "action": {"commands": ["x"]}, "status": "completed"}
    environment = {"type": "container_reference", "container_id": world.container}
    outcome = {"stdout": "", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    output = {"type": "shell_call_output", "call_id": "c", "output": [outcome]}
    with world.server.client("bob") as bob:
        items: Any = [{**call, "environment": environment}, output, {"role": "user", "content": "look again"}]
        response: Any = bob.responses.create(input=items, tools=[SHELL])
        own = {each.id for each in bob.containers.list()}
    assert response.tools[0].environment.container_id in own
    (result,) = [item for item in response.output if item.type == "shell_call_output"]
    assert "No such file" in result.output[0].stderr


def test_an_id_that_two_people_chose_is_each_ones_own(world: World) -> None:
    for name in ("alice", "bob"):
        item = {"type": "message", "role": "user", "content": f"I am {name}", "id": "msg_same"}
        world.server.ask(
            name, "POST", "/v1/responses", json={"input": [item, {"role": "user", "content": "chat"}]}
        )
    for name in ("alice", "bob"):
        again = [{"type": "item_reference", "id": "msg_same"}, {"role": "user", "content": "chat"}]
        response = world.server.ask(name, "POST", "/v1/responses", json={"input": again}).json()
        kept = world.server.ask(name, "GET", f"/v1/responses/{response['id']}/input_items").text
        assert f"I am {name}" in kept


def test_a_socket_reaches_no_further(world: World) -> None:
    before = world.all_of_alices()
    url = world.server.url.replace("http:", "ws:") + "/responses"
    with connect(url, additional_headers=world.server.headers("bob")) as socket:

        def heard(message: dict[str, Any]) -> dict[str, Any]:
            socket.send(json.dumps(message))
            answer: dict[str, Any] = json.loads(socket.recv(timeout=30))
            return answer

        for real, body in references(world)["ResponseCreateParams"]:
            anothers, nobodys = (
                heard({"type": "response.create", **json.loads(json.dumps(body).replace(real, each))})
                for each in (real, unknown(real))
            )
            assert anothers["type"] == "error"
            assert json.dumps(anothers).replace(real, "") == json.dumps(nobodys).replace(unknown(real), "")
        steered = {"type": "response.steer", "input": "change course", "previous_response_id": world.running}
        assert heard(steered)["error"]["code"] == "response_not_found"
    assert world.all_of_alices() == before


def test_the_operator_counts_everybody_and_sees_nobodys_things(world: World) -> None:
    assert 'key="alice"' in world.server.ask("", "GET", "/metrics").text
    assert world.server.ask("", "GET", f"/v1/responses/{world.response}").status_code == 404
    assert world.server.ask("", "GET", "/v1/containers").json()["data"] == []
    bobs = world.server.ask("bob", "GET", "/metrics").text
    assert 'key="bob"' in bobs
    assert "agent_kernel_background_turns 0" in bobs


def test_what_is_written_down_says_whose_it_was(world: World) -> None:
    lines = world.server.audited()
    about = [line for line in lines if line.get("container") == world.container]
    assert {line["event"] for line in about} >= {"create", "command", "command.end"}
    assert {line["key"] for line in about} == {"alice"}
