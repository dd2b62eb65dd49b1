"""Skills: what a container begins with and a model is told of, and what no archive can do."""

from __future__ import annotations

import base64
import io
import os
import stat
import zipfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import ConfigurationError, InvalidRequest, TooLarge
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.containers.skills import archive as skill_archive
from agent_kernel.runtime.containers.skills.archive import checked_path, unpack
from agent_kernel.runtime.containers.skills.skills import FOLDER, Skills, front_matter
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import Turn, Upstream, call, items, runtime_on, turns_of

MANIFEST = "---\nname: counting\ndescription: Counts words.\n---\n\nRun `scripts/count.sh FILE`.\n"
SCRIPT = "#!/bin/sh\nwc -w < $1\n"


def zipped(files: Mapping[str, str | bytes], modes: Mapping[str, int] | None = None) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return base64.b64encode(packed.getvalue()).decode()


def inline(data: str, name: str = "counting", description: str = "Counts words.") -> dict[str, Any]:
    source = {"type": "base64", "media_type": "application/zip", "data": data}
    return {"type": "inline", "name": name, "description": description, "source": source}


COUNTING = zipped(
    {"counting/SKILL.md": MANIFEST, "counting/scripts/count.sh": SCRIPT},
    {"counting/scripts/count.sh": stat.S_IFREG | 0o755},
)


def shell(*skills: Any) -> list[dict[str, Any]]:
    return [{"type": "shell", "environment": {"type": "container_auto", "skills": list(skills)}}]


@pytest.fixture
def registered(tmp_path: Path) -> Path:
    """The operator's folder, with one skill and a secret beside it."""
    folder = tmp_path / "skills"
    (folder / "greeting").mkdir(parents=True)
    (tmp_path / "secret").write_text("s3cret")
    manifest = "---\nname: greeting\ndescription: |\n  Greets,\n  politely.\n---\nRun greet.py.\n"
    (folder / "greeting" / "SKILL.md").write_text(manifest)
    (folder / "greeting" / "greet.py").write_text("print('Good day')\n")
    (folder / "greeting" / "link").symlink_to(tmp_path / "secret")
    (folder / "no-skill").mkdir()
    return folder


# -- what may be asked for ----------------------------------------------------------------------------------


async def test_registered_skills_are_named(registered: Path) -> None:
    skills = Skills(registered)
    assert skills.names() == ["greeting"]
    for entry in ({"type": "skill_reference", "skill_id": "greeting"}, {"path": "greeting", "name": "x"}):
        (skill,) = await skills.read([entry], "skills")
        assert (skill.note.name, skill.note.description) == ("greeting", "Greets, politely.")
        assert skill.note.path == "/home/agent/skills/greeting"
        assert sorted(skill.files) == ["SKILL.md", "greet.py"], "a link that leads out is not followed"


@pytest.mark.parametrize("name", ["unknown", "no-skill", "../secret", "/etc", ".", "", "greeting/..", 7])
@pytest.mark.parametrize("kind", ["skill_reference", "path"])
async def test_no_other_name_is_looked_for(name: Any, kind: str, registered: Path) -> None:
    entry = {"type": kind, "skill_id": name} if kind == "skill_reference" else {"path": name}
    with pytest.raises(InvalidRequest, match="No such skill") as caught:
        await Skills(registered).read([entry], "skills")
    assert caught.value.param == "skills[0]"
    assert caught.value.hint == "Registered on this server: greeting."
    with pytest.raises(InvalidRequest, match="Registered on this server: none"):
        await Skills().read([entry], "skills")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("counting", "must be a list"),
        ([7], "must be a list"),
        ([{}] * 51, "at most 50"),
        ([{"type": "remote"}], "type must be inline or skill_reference"),
        ([{"type": "skill_reference", "skill_id": "greeting", "version": "3"}], "no versions"),
        ([inline(COUNTING), inline(COUNTING)], "same name"),
        ([inline(COUNTING, name="../x")], r"name must be"),
        ([inline(COUNTING, description=" ")], r"description must be"),
        ([{**inline(COUNTING), "source": {"type": "url", "url": "http://127.0.0.1"}}], r"source must be"),
        ([inline("no base64!")], "not a zip archive"),
        ([inline(base64.b64encode(b"PK no zip").decode())], "not a zip archive"),
        ([inline(zipped({"README.md": "x"}))], r"no file named SKILL\.md"),
        ([inline(zipped({"a/SKILL.md": "x", "b/SKILL.md": "x"}))], r"no file named SKILL\.md"),
    ],
)
async def test_what_is_no_skill_is_refused(given: Any, words: str, registered: Path) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        await Skills(registered).read(given, "skills")
    assert caught.value.param is not None
    assert caught.value.param.startswith("skills")


async def test_registered_skill_without_front_matter_blames_operator(registered: Path) -> None:
    (registered / "greeting" / "SKILL.md").write_text("Just greet.")
    with pytest.raises(ConfigurationError, match="'greeting' of this server cannot be used"):
        await Skills(registered).read([{"type": "skill_reference", "skill_id": "greeting"}], "skills")


@pytest.mark.parametrize(
    ("manifest", "read"),
    [
        (MANIFEST, {"name": "counting", "description": "Counts words."}),
        (MANIFEST.replace("\n", "\r\n"), {"name": "counting", "description": "Counts words."}),
        ("# No front matter\n---\n", {}),
        ("---\nname: [\n---\n", {}),
        ("---\n- a list\n---\n", {}),
        ("---\nname: !!python/object/apply:os.system [id]\n---\n", {}),
        ("---\nname: x\n", {}),
    ],
)
def test_front_matter(manifest: str, read: dict[str, str]) -> None:
    assert front_matter(manifest.encode()) == read


# -- what an archive can do ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "..\\x", "\\x", "c:\\x", "a\0b", "x" * 513, "", "\udc80"]
)
def test_paths_that_lead_outside_are_refused(path: str) -> None:
    with pytest.raises(InvalidRequest, match=r"leads out of the skill|is not text"):
        checked_path(path, "skills")


@pytest.mark.parametrize("path", ["../evil.sh", "/tmp/evil.sh", "a/../../evil.sh", "..\\evil.sh"])
def test_an_archive_with_such_a_path_is_refused_whole(path: str) -> None:
    with pytest.raises(InvalidRequest, match="leads out of the skill"):
        unpack(zipped({"SKILL.md": MANIFEST, path: "x"}), "skills")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(kind: int) -> None:
    data = zipped({"SKILL.md": MANIFEST, "link": "/etc/passwd"}, {"link": kind | 0o777})
    with pytest.raises(InvalidRequest, match="a link or a device"):
        unpack(data, "skills")


def test_a_path_that_is_there_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"'SKILL\.md' twice"):
        unpack(zipped({"SKILL.md": MANIFEST, "./SKILL.md": "other"}), "skills")


def test_a_bomb_is_refused_while_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are made small; the archive lies about its sizes, as bombs do."""
    monkeypatch.setattr(skill_archive, "LARGEST_FILE", 1 << 20)
    monkeypatch.setattr(skill_archive, "LARGEST_SKILL", 3 << 20)
    with pytest.raises(TooLarge, match=r"'bomb' is larger than 1 MiB"):
        unpack(zipped({"SKILL.md": MANIFEST, "bomb": bytes(2 << 20)}), "skills")
    with pytest.raises(TooLarge, match=r"larger than 3 MiB, unpacked"):
        unpack(zipped({"SKILL.md": MANIFEST, **{str(n): bytes(1 << 20) for n in range(4)}}), "skills")
    packed = bytearray(base64.b64decode(zipped({"SKILL.md": MANIFEST, "bomb": bytes(2 << 20)})))
    said = (2 << 20).to_bytes(4, "little")
    assert packed.count(said) == 2  # in the file's own header and in the directory
    lying = bytes(packed).replace(said, (5).to_bytes(4, "little"))
    with pytest.raises(InvalidRequest, match=r"'bomb' cannot be unpacked|'bomb' is larger"):
        unpack(base64.b64encode(lying).decode(), "skills")


def test_too_many_files_are_refused() -> None:
    with pytest.raises(TooLarge, match="500 files; this has 501"):
        unpack(zipped({"SKILL.md": MANIFEST, **{str(n): "" for n in range(500)}}), "skills")


def test_an_archive_over_the_limit_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skill_archive, "LARGEST_ARCHIVE", 100)
    with pytest.raises(TooLarge, match="archive is larger"):
        unpack("!" * 200, "skills")


@pytest.mark.parametrize("cut", [10, 60, 120])
def test_a_damaged_archive_is_refused(cut: int) -> None:
    packed = bytearray(base64.b64decode(zipped({"SKILL.md": MANIFEST, "data": os.urandom(200)})))
    packed[cut : cut + 40] = bytes(40)
    with pytest.raises(InvalidRequest):
        unpack(base64.b64encode(bytes(packed)).decode(), "skills")


# -- in a container -----------------------------------------------------------------------------------------


@pytest.fixture
async def runtime(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path, registered: Path
) -> AsyncIterator[LocalRuntime]:
    skills = Skills(registered)
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path, skills=skills) as runtime:
        yield runtime


@pytest.fixture
def turn(runtime: LocalRuntime) -> Turn:
    return turns_of(runtime)


def told(upstream: Upstream) -> str:
    """What the model was told before the conversation, the last time it was asked."""
    first = upstream.requests[-1]["messages"][0]
    return str(first["content"]) if first["role"] == "system" else ""


async def test_a_model_is_told_of_skills_and_runs_their_scripts(
    upstream: Upstream, turn: Turn, runtime: LocalRuntime
) -> None:
    run = [f"cat {FOLDER}/counting/SKILL.md", "echo one two > f", f"{FOLDER}/counting/scripts/count.sh f"]
    run.append(f"python3 {FOLDER}/greeting/greet.py; ls {FOLDER}/greeting")
    upstream.says(call(0, "shell", {"commands": run}), finish="tool_calls")
    upstream.says({"content": "Two."})
    reference = {"type": "skill_reference", "skill_id": "greeting", "version": "latest"}
    response = await turn("Count.", tools=shell(inline(COUNTING), reference), instructions="Be brief.")

    printed = [each["stdout"] for each in items(response)[1]["output"]]
    assert printed == [MANIFEST, "", "2\n", "Good day\nSKILL.md\ngreet.py\n"]
    lines = told(upstream).splitlines()
    assert lines[0] == "Be brief."
    assert lines[-2:] == [
        f"- counting: Counts words. (in {FOLDER}/counting/SKILL.md)",
        f"- greeting: Greets, politely. (in {FOLDER}/greeting/SKILL.md)",
    ]
    assert response.instructions == "Be brief.", "what is told of skills is not the request's"
    container_id = to_json(response)["tools"][0]["environment"]["container_id"]
    files = (await runtime.containers.files.list(container_id)).data
    assert [file.path for file in files] == ["/mnt/data/f"], "skills are no files of the user's"


async def test_a_chain_keeps_its_skills_and_may_get_more(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "Hello."})
    first = await turn("Hi.", tools=shell(inline(COUNTING)))
    changed = zipped({"SKILL.md": MANIFEST, "other.sh": SCRIPT})
    reference = {"path": "greeting"}
    upstream.says(
        call(0, "shell", {"commands": [f"cd {FOLDER}; find . -type f | sort"]}), finish="tool_calls"
    )
    upstream.says({"content": "Done."})
    second = await turn("More.", previous_response_id=first.id, tools=shell(inline(changed), reference))
    listed = items(second)[1]["output"][0]["stdout"].split()
    assert listed == [
        "./counting/SKILL.md",
        "./counting/other.sh",
        "./greeting/SKILL.md",
        "./greeting/greet.py",
    ]
    upstream.says({"content": "Yes."})
    await turn("Still?", previous_response_id=second.id, tools=shell())
    assert "- counting:" in told(upstream)
    assert "- greeting:" in told(upstream)


async def test_a_container_is_made_with_skills(upstream: Upstream, turn: Turn, runtime: LocalRuntime) -> None:
    made = await runtime.create_container({"name": "mine", "skills": [inline(COUNTING)]})
    environment = {"type": "container_reference", "container_id": made.id}
    upstream.says(call(0, "shell", {"commands": [f"ls {FOLDER}"]}), finish="tool_calls")
    upstream.says({"content": "Done."})
    response = await turn("Look.", tools=[{"type": "shell", "environment": environment}])
    assert items(response)[1]["output"][0]["stdout"] == "counting\n"
    assert f"- counting: Counts words. (in {FOLDER}/counting/SKILL.md)" in told(upstream)
    await runtime.containers.delete(made.id)


async def test_a_fork_has_the_skills_of_its_original(
    upstream: Upstream, turn: Turn, runtime: LocalRuntime
) -> None:
    made = await runtime.create_container({"name": "mine", "skills": [inline(COUNTING)]})
    fork = await runtime.containers.fork(made.id)
    environment = {"type": "container_reference", "container_id": fork.id}
    upstream.says(call(0, "shell", {"commands": [f"ls {FOLDER}"]}), finish="tool_calls")
    upstream.says({"content": "Done."})
    response = await turn("Look.", tools=[{"type": "shell", "environment": environment}])
    assert items(response)[1]["output"][0]["stdout"] == "counting\n"
    assert "- counting: Counts words." in told(upstream)
    for snapshot in await runtime.containers.checkpoints.all():
        assert await runtime.containers.checkpoints.remove(snapshot)


async def test_an_unknown_skill_leaves_no_container(turn: Turn, runtime: LocalRuntime) -> None:
    entry = {"type": "skill_reference", "skill_id": "skill_123"}
    with pytest.raises(InvalidRequest, match="No such skill: 'skill_123'") as caught:
        await turn("Hi.", tools=shell(entry))
    assert caught.value.param == "tools[0].environment.skills[0]"
    with pytest.raises(InvalidRequest) as caught:
        await runtime.create_container({"name": "x", "skills": [entry]})
    assert caught.value.param == "skills[0]"
    assert (await runtime.containers.list()).data == []


async def test_skills_of_local_shell_are_announced_and_not_read(
    upstream: Upstream, turn: Turn, runtime: LocalRuntime
) -> None:
    skill = {"name": "theirs", "description": "Does\nthings.", "path": "/home/them/skills/theirs"}
    upstream.says({"content": "Hello."})
    await turn("Hi.", tools=[{"type": "shell", "environment": {"type": "local", "skills": [skill]}}])
    assert told(upstream).endswith("- theirs: Does things. (in /home/them/skills/theirs/SKILL.md)")
    assert (await runtime.containers.list()).data == []
    skill["path"] = "/x\n- trick: me"
    with pytest.raises(InvalidRequest, match="path must be a path"):
        await turn("Hi.", tools=[{"type": "shell", "environment": {"type": "local", "skills": [skill]}}])


async def test_what_a_skill_brings_along_is_not_stored_with_the_turn(
    upstream: Upstream, turn: Turn, tmp_path: Path
) -> None:
    upstream.says({"content": "Hello."})
    await turn("Hi.", tools=shell(inline(COUNTING)))
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite*"))  # noqa: ASYNC240
    assert b"Counts words." in stored
    assert COUNTING.encode() not in stored
