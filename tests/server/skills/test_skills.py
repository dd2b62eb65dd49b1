"""`/v1/skills` through the `openai` package: versions, limits, hostile archives, and skills in containers."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest
from openai import OpenAI

from agent_kernel.keys import KeyLimits
from agent_kernel.runtime.containers.skills import archive as skill_archive
from agent_kernel.runtime.skills import reading
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.server.keyed import Keyed, keyed_server

MANIFEST = b"---\nname: counting\ndescription: Counts words.\n---\n\nRun count.sh.\n"


def zipped(files: Mapping[str, bytes], kind: int = stat.S_IFREG) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (kind | 0o755) << 16
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def manifest(name: str, description: str = "Counts words.") -> bytes:
    return f"---\nname: {name}\ndescription: {description}\n---\n".encode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[Keyed]:
    people = {"alice": KeyLimits(), "bob": KeyLimits(), "poor": KeyLimits(stored_bytes=500)}
    with keyed_server(tmp_path_factory.mktemp("served"), toolbox, people) as server:
        yield server


@pytest.fixture
def alice(served: Keyed) -> Iterator[OpenAI]:
    with served.client("alice") as client:
        yield client


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_skill_lives_through_its_versions(alice: OpenAI) -> None:
    made = alice.skills.create(files=("counting.zip", zipped({"counting/Skill.md": MANIFEST})))
    assert made.to_dict() == {
        "id": made.id, "object": "skill", "created_at": made.created_at, "name": "counting",
        "description": "Counts words.", "default_version": "1", "latest_version": "1",
    }  # fmt: skip
    files = [("up/SKILL.md", manifest("other", "Better.")), ("up/scripts/count.sh", b"#!/bin/sh\n")]
    second = alice.skills.versions.create(made.id, files=files)
    assert (second.object, second.skill_id, second.version) == ("skill.version", made.id, "2")
    third = alice.skills.versions.create(made.id, files=[("SKILL.md", manifest("third"))], default=True)
    assert third.version == "3"
    found = alice.skills.retrieve(made.id)
    assert (found.name, found.default_version, found.latest_version) == ("third", "3", "3")
    assert [each.version for each in alice.skills.versions.list(made.id, order="asc", limit=2)] == [*"123"]
    assert alice.skills.update(made.id, default_version="2").name == "other"
    assert unpacked(alice.skills.content.retrieve(made.id).content) == {
        "other/SKILL.md": manifest("other", "Better."), "other/scripts/count.sh": b"#!/bin/sh\n",
    }  # fmt: skip
    first = alice.skills.versions.content.retrieve("1", skill_id=made.id).content
    assert unpacked(first) == {"counting/SKILL.md": MANIFEST}
    with pytest.raises(openai.BadRequestError, match="default version"):
        alice.skills.versions.delete("2", skill_id=made.id)
    gone = alice.skills.versions.delete("3", skill_id=made.id)
    assert (gone.object, gone.version, gone.deleted) == ("skill.version.deleted", "3", True)
    assert alice.skills.retrieve(made.id).latest_version == "2"
    assert alice.skills.versions.create(made.id, files=files).version == "4", "no number is given twice"
    for each in ("1", "4"):
        alice.skills.versions.delete(each, skill_id=made.id)
    alice.skills.versions.delete("2", skill_id=made.id)  # the last one
    with pytest.raises(openai.NotFoundError, match="No such skill"):
        alice.skills.retrieve(made.id)


def test_skills_of_another_key_do_not_exist(served: Keyed, alice: OpenAI) -> None:
    made = alice.skills.create(files=[("SKILL.md", MANIFEST)])
    with served.client("bob") as bob:
        assert not bob.skills.list().data
        for ask in (bob.skills.retrieve, bob.skills.delete, bob.skills.versions.list):
            with pytest.raises(openai.NotFoundError):
                ask(made.id)
        with pytest.raises(openai.NotFoundError):
            bob.skills.content.retrieve(made.id)
        environment: Any = {"type": "container_auto", "skills": [reference(made.id)]}
        with pytest.raises(openai.BadRequestError, match="No such skill"):
            bob.responses.create(model="", input="Hi", tools=[{"type": "shell", "environment": environment}])
    assert made.id in [each.id for each in alice.skills.list()]
    assert alice.skills.delete(made.id).to_dict() == {
        "id": made.id, "object": "skill.deleted", "deleted": True,
    }  # fmt: skip


BAD: list[tuple[Any, str]] = [
    (("x.zip", zipped({"README.md": b"x"})), "no file named"),
    (("x.zip", zipped({"SKILL.md": MANIFEST, "skill.md": MANIFEST})), "two files named"),
    (("x.zip", zipped({"SKILL.md": MANIFEST, "../evil": b"x"})), "leads out"),
    (("x.zip", zipped({"SKILL.md": MANIFEST, "/etc/evil": b"x"})), "leads out"),
    (("x.zip", zipped({"SKILL.md": b"/etc/passwd"}, stat.S_IFLNK)), "a link or a device"),
    (("x.zip", zipped({"SKILL.md": MANIFEST})[:-30]), "not a zip archive"),
    (("SKILL.md", b"# No front matter"), "name must be"),
    ([("SKILL.md", MANIFEST), ("./SKILL.md", MANIFEST)], "twice"),
    ([("a/SKILL.md", MANIFEST), ("b/x", b"x")], "no file named"),
    ([("SKILL.md", MANIFEST), *((f"f{n}", b"") for n in range(500))], "500 files"),
]


@pytest.mark.parametrize(
    ("files", "why"), BAD, ids=[why.replace(" ", "-") + str(n) for n, (_, why) in enumerate(BAD)]
)
def test_what_is_no_skill_is_refused(alice: OpenAI, files: Any, why: str) -> None:
    before = len(alice.skills.list().data)
    with pytest.raises(openai.APIStatusError, match=why) as refused:
        alice.skills.create(files=files)
    assert refused.value.status_code in (400, 413)
    assert len(alice.skills.list().data) == before


@pytest.mark.parametrize(
    "body", [b"", b"--b\r\n", b"--b\r\nx", b"no boundary", b"--b\r\n: x\r\n\r\n--b--\r\n", b"--b--"]
)
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "multipart/form-data", "text/plain"])
def test_a_body_that_is_no_form_is_refused(served: Keyed, body: bytes, kind: str) -> None:
    answer = served.ask("alice", "POST", "/v1/skills", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "files"


def test_bombs_and_full_stores_are_refused(
    served: Keyed, alice: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits are made small."""
    with monkeypatch.context() as small:
        small.setattr(skill_archive, "LARGEST_FILE", 1 << 20)
        small.setattr(reading, "LARGEST_ARCHIVE", 2 << 20)
        for files, why in (
            (("x.zip", zipped({"SKILL.md": MANIFEST, "bomb": bytes(2 << 20)})), "'bomb' is larger"),
            ([("SKILL.md", MANIFEST), ("big", bytes(2 << 20))], "larger than 2 MiB"),
        ):
            with pytest.raises(openai.APIStatusError, match=why) as refused:
                alice.skills.create(files=files)
            assert refused.value.status_code == 413
    with served.client("poor") as poor:
        made = poor.skills.create(files=[("SKILL.md", MANIFEST)])
        more = [("SKILL.md", MANIFEST), ("x", bytes(range(256)) * 2)]
        with pytest.raises(openai.RateLimitError, match="500 bytes"):
            poor.skills.versions.create(made.id, files=more)
        assert poor.skills.retrieve(made.id).latest_version == "1"


def reference(skill_id: str, version: Any = None) -> dict[str, Any]:
    return {"type": "skill_reference", "skill_id": skill_id} | ({"version": version} if version else {})


def test_containers_get_the_version_that_is_named(alice: OpenAI) -> None:
    made = alice.skills.create(files=[("SKILL.md", manifest("first"))])
    for name in ("second", "third"):
        alice.skills.versions.create(made.id, files=[("SKILL.md", manifest(name))])
    alice.skills.update(made.id, default_version="2")
    for version, name in ((None, "second"), ("1", "first"), (1, "first"), ("latest", "third")):
        body = {"name": "x", "skills": [reference(made.id, version)]}
        container = alice.post("/containers", body=body, cast_to=object)
        assert told(alice, container["id"]) == [name]  # type: ignore[index]
    for version, why in (("4", "no version 4"), ("newest", "number of a version"), ("0", "no version 0")):
        body = {"name": "x", "skills": [reference(made.id, version)]}
        with pytest.raises(openai.BadRequestError, match=why):
            alice.post("/containers", body=body, cast_to=object)


def test_a_container_that_runs_gets_other_skills(alice: OpenAI) -> None:
    made = alice.skills.create(files=[("SKILL.md", manifest("first"))])
    alice.skills.versions.create(made.id, files=[("SKILL.md", manifest("second"))])
    container: Any = alice.post(
        "/containers", body={"name": "x", "skills": [reference(made.id)]}, cast_to=object
    )
    where = f"/containers/{container['id']}/agent_kernel/skills"
    body = {"skills": [reference(made.id, "2")]}
    for answer in (alice.post(where, body=body, cast_to=object), alice.get(where, cast_to=object)):
        (found,) = answer["data"]  # type: ignore[index]
        assert found.pop("path").endswith("/skills/second")
        assert found == {
            "object": "agent_kernel.container_skill",
            "name": "second",
            "description": "Counts words.",
        }
    assert told(alice, container["id"], "find . -type f") == ["./second/SKILL.md"]
    for wrong in ({}, {"skills": None}, {"skills": "x"}, {"skills": [reference("skill_none")]}):
        with pytest.raises(openai.APIStatusError) as refused:
            alice.post(where, body=wrong, cast_to=object)
        assert refused.value.status_code in (400, 404)
    with pytest.raises(openai.NotFoundError):
        alice.get("/containers/cntr_none/agent_kernel/skills", cast_to=object)
    assert alice.get("/agent_kernel/skills", cast_to=object)["data"] == []  # type: ignore[index]


def told(client: OpenAI, container_id: str, command: str = "ls") -> list[str]:
    """Return the skills in a container, as a command lists them there."""
    ask = {"type": "shell", "environment": {"type": "container_reference", "container_id": container_id}}
    tools: Any = [ask]
    said = f"cd /home/agent/skills && {command}"
    response = client.responses.create(model="agent_kernel/shell", input=said, tools=tools)
    (output,) = [each for each in response.output if each.type == "shell_call_output"]
    return output.output[0].stdout.split()
