"""`agent-kernel session delete`: a marker that was everywhere is found in the audit log only."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from agent_kernel.runtime.kept import KeptSession
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.docker.container import LABELS_LABEL
from agent_kernel.sandboxes.docker.snapshots import _unpacked
from tests.cli.moving import Environment, cleared, done, in_runtime, kept, other_folder, session, shell
from tests.runtime.test_contract import run, turn

MARKER = "marker7c1e0b5d"
COMMANDS = [
    f"echo {MARKER} >file; mkdir deep; echo x >deep/{MARKER}.txt; echo {MARKER} >/tmp/x; export V={MARKER}",
    f"seq 1 20000 | sed s/$/{MARKER}/ >large; echo {MARKER} | tee ~/home",
]
PROGRAMS = ("toolbox", "boxd")
DOCKER = pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow])


@pytest.fixture(params=[pytest.param("bubblewrap", marks=pytest.mark.bubblewrap), DOCKER])
def machine(
    request: pytest.FixtureRequest, own_environment: Environment, tmp_path: Path
) -> Iterator[Environment]:
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    environment = other_folder(own_environment, tmp_path, request.param)
    yield environment
    in_runtime(environment, cleared)


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def used(runtime: LocalRuntime) -> KeptSession:
    """Keep a session with the marker everywhere: files, prompts, outputs, branches, snapshots, uploads."""
    made = await kept(runtime, [f"Hello! {MARKER}", f"And again? {MARKER}"], COMMANDS, note=MARKER)
    assert made.container_id is not None
    await runtime.containers.snapshot(made.container_id, name=MARKER, automatic=True)
    await run(runtime, f"echo {MARKER} >later", made.container_id)
    await runtime.containers.snapshot(made.container_id, name=MARKER)
    upload = await runtime.files.create(
        filename=f"{MARKER}.txt", content=chunks(MARKER.encode()), form={"purpose": "user_data"}
    )
    attached = [{"type": "input_file", "file_id": upload.id}, {"type": "input_text", "text": "Hello!"}]
    branch = await turn(
        runtime, "", **{**shell(made.container_id), "input": [{"role": "user", "content": attached}]}
    )
    background = await turn(
        runtime, f"And again? {MARKER}", previous_response_id=branch.id, background=True,
        **shell(made.container_id),
    )  # fmt: skip
    return await runtime.keep_session(
        replace(made, name=f"n {MARKER}", notebook=f"/tmp/{MARKER}.ipynb", responses=[background.id])
    )


def with_marker(environment: Environment) -> set[str]:
    """Return the files of a data folder in which the marker is, or whose path has it."""
    root = Path(environment["AGENT_KERNEL_DATA_DIR"])
    found = set()
    for path in root.rglob("*"):
        inner = path.relative_to(root)
        if inner.parts[0] in PROGRAMS or not path.is_file() or path.is_symlink():
            continue
        if MARKER in str(inner) or MARKER.encode() in path.read_bytes():
            found.add(str(inner))
    return found


async def identity(runtime: LocalRuntime) -> str:
    """Return what everything that this store has made in an engine is labelled with."""
    return await runtime.containers._store.identity()


def in_engine(machine: Environment) -> set[str]:
    """Return the ids of all that the machine has in a Docker engine; nothing for bubblewrap.

    Other tests use the engine too.
    """
    if machine["AGENT_KERNEL_SANDBOX"] != "docker":
        return set()
    ours = in_runtime(machine, identity)
    engine = docker.from_env()
    try:
        containers = engine.containers.list(all=True, ignore_removed=True)
        images = engine.images.list(all=True, filters={"label": LABELS_LABEL})
        made: list[Any] = [*containers, *images]
        found = [each for each in made if LABELS_LABEL in each.labels]
        return {str(each.id) for each in found if ours in _unpacked(each.labels[LABELS_LABEL]).values()}
    finally:
        engine.close()


def test_only_the_audit_log_knows_a_deleted_session(machine: Environment, tmp_path: Path) -> None:
    sandbox = machine["AGENT_KERNEL_SANDBOX"]
    made = in_runtime(machine, used)
    file = tmp_path / "a.session"
    done("export", made.id, str(file), "--yes", environment=machine)
    there = with_marker(machine)
    assert {"audit.jsonl"} < there, "the search finds it where it is"
    if sandbox == "docker":
        snapshots = [each for each in in_engine(machine) if each.startswith("sha256:")]
        assert any(MARKER.encode() in layer for layer in saved(snapshots))
    found = json.loads(done("show", made.id, "--json", environment=machine))
    assert found["turns"] == 2
    refused = session("delete", made.id, environment=machine)
    assert (refused.returncode, "Add --yes" in refused.stderr) == (2, True)
    said = done("delete", made.id, "--yes", environment=machine)
    assert "  7 responses\n" in said, "those of its commands too"
    assert said.count("the checkpoint snap_") == 2
    assert f"the container {made.container_id}" in said
    assert f"the archive {file}" in said
    assert "the uploaded file file-" in said
    assert f"the notebook /tmp/{MARKER}.ipynb: it is your own file" in said
    assert "found nothing else" in said
    assert not file.exists()
    assert with_marker(machine) == {"audit.jsonl"}
    assert in_engine(machine) == set()
    entry = audited(machine)[-1]
    assert (entry["event"], entry["session"], entry["verified"]) == ("session.delete", made.id, True)
    assert len(entry["removed"]) == said.count("\n  ") - len(entry["shared"]) + 6, "the log has all seven"
    assert session("delete", made.id, "--yes", environment=machine).returncode == 2


def saved(images: list[str]) -> Iterator[bytes]:
    """Yield the bytes of images, as the engine saves them."""
    engine = docker.from_env()
    try:
        for image in images:
            buffer = io.BytesIO()
            for piece in engine.images.get(image).save():
                buffer.write(piece)
            yield buffer.getvalue()
    finally:
        engine.close()


def audited(environment: Environment) -> list[dict[str, Any]]:
    lines = Path(environment["AGENT_KERNEL_DATA_DIR"], "audit.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.bubblewrap
def test_what_another_session_uses_stays_and_is_named(own_environment: Environment, tmp_path: Path) -> None:
    machine = other_folder(own_environment, tmp_path, "bubblewrap")

    async def two(runtime: LocalRuntime) -> tuple[KeptSession, KeptSession]:
        made = await kept(runtime, ["Hello!", "And again?"], ["echo mine >file"])
        chain = await runtime._rows.chain(made.response_id or "")
        other = KeptSession(name="other", response_id=chain[0].id, container_id=made.container_id)
        return made, await runtime.keep_session(other)

    made, other = in_runtime(machine, two)
    said = done("delete", made.id, "--yes", environment=machine)
    assert f"the response {other.response_id}: the session {other.id} continues it" in said
    assert f"the container {made.container_id}: {other.id} uses it" in said
    assert said.count("  the response resp_") == 2, "one is removed, one stays"

    async def still(runtime: LocalRuntime) -> str:
        return await run(runtime, "cat file", other.container_id or "")

    assert in_runtime(machine, still) == "mine\n"
    done("delete", "other", "--yes", environment=machine)
    assert "No containers." in str(in_runtime(machine, containers_left))


async def containers_left(runtime: LocalRuntime) -> str:
    return "No containers." if not (await runtime.containers.list()).data else "some"
