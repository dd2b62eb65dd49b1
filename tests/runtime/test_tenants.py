"""A store as one tenant sees it: each method of it is tried on what is another's."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import NotFound
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.store.records import ContainerRow, FileRow, Finish, ResponseRow, SkillNote
from agent_kernel.store.rows import (
    ApprovalRows,
    ContainerRows,
    FileRows,
    PlaceRows,
    ResponseRows,
    Rows,
    SkillRows,
)
from agent_kernel.store.sqlite.store import sqlite_rows

RESPONSE = ResponseRow(
    id="resp_a", created_at=1, status="completed", model="m", previous_id=None, container_id="cntr_a",
    request={}, input=[{"id": "msg_a", "type": "message"}], response={"output": []}, owner="process",
    conversation_id="conv_a",
)  # fmt: skip
CONTAINER = ContainerRow("cntr_a", "n", "bubblewrap", 1, 1, 20, "running", None, "alice")
ITEM = {"id": "msg_b", "type": "message"}

TRIES: dict[str, tuple[Any, ...]] = {
    "response": ("resp_a",),
    "chain": ("resp_a",),
    "delete_response": ("resp_a",),
    "adopt_response": ("resp_a", "process", "other"),
    "events": ("resp_a", -1, 10),
    "item": ("msg_a",),
    "unfinished_responses": (),
    "write_off_response": ("resp_a", "process", {"output": []}, (1, "{}")),
    "conversation": ("conv_a",),
    "delete_conversation": ("conv_a",),
    "add_conversation_items": ("conv_a", [ITEM]),
    "conversation_items": ("conv_a",),
    "delete_conversation_item": ("conv_a", "msg_c"),
    "container": ("cntr_a",),
    "containers": (),
    "touch_container": ("cntr_a", 99.0),
    "end_container": ("cntr_a", "dead"),
    "change_container": ("cntr_a", "running", "expired", 2.0),
    "put_network": ("cntr_a", "[1]"),
    "replace_sandbox": ("cntr_a", "", "cntr_b", 99.0),
    "delete_container": ("cntr_a",),
    "add_upload": ("cntr_a", "/mnt/data/b"),
    "remove_upload": ("cntr_a", "/mnt/data/a"),
    "uploads": ("cntr_a",),
    "put_skill": ("cntr_a", SkillNote("s", "", "/mnt/skills/s", "other")),
    "remove_skill": ("cntr_a", "s"),
    "skills": ("cntr_a",),
    "answered_approvals": (["mcpr_a"],),
    "file": ("file-a",),
    "files": (),
    "stored_bytes": (),
    "delete_file": ("file-a",),
    "before": ("files", "file-gone"),
    "put_place": ("cntr_a", "cfile_b", "other"),
    "place": ("cntr_a", "cfile_a"),
}
"""Calls that ask for, or would change, what is Alice's."""

MAKES = {
    "put_response", "append_events", "finish_response", "put_conversation", "put_container", "add_container",
    "rename_container", "put_file", "claim_approvals",
}  # fmt: skip
"""These make new things, under ids that the runtime has made or has looked up before."""

EVERYBODYS = {"deletions", "expire_responses", "tenant_of_response"}
"""For the runtime's own use."""


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Rows]:
    whole = sqlite_rows(tmp_path / "store.sqlite")
    alice = whole.of("alice")
    await alice.put_conversation("conv_a", 1, {})
    await alice.add_conversation_items("conv_a", [{"id": "msg_c", "type": "message"}])
    await alice.put_response(RESPONSE)
    await alice.finish_response(Finish(RESPONSE, [(0, "{}")], keep_events=True))
    await alice.claim_approvals(["mcpr_a"], "resp_a")
    await alice.put_container(CONTAINER)
    await alice.add_upload("cntr_a", "/mnt/data/a")
    await alice.put_skill("cntr_a", SkillNote("s", "", "/mnt/skills/s", "digest"))
    await alice.put_file(FileRow("file-a", 1, "a", "user_data", 7))
    await alice.put_file(FileRow("file-gone", 2, "a", "user_data", 7))
    await alice.delete_file("file-gone")
    await alice.put_place("cntr_a", "cfile_a", "here")
    yield whole
    await whole.aclose()


def dumped(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        lines = [line for line in db.iterdump() if "deletions" not in line]
    db.close()
    return lines


def test_every_method_is_tried() -> None:
    methods = {
        name
        for protocol in (ResponseRows, ContainerRows, SkillRows, FileRows, PlaceRows, ApprovalRows)
        for name, value in vars(protocol).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert methods <= set(TRIES) | MAKES | EVERYBODYS, "say what a new method may see"


@pytest.mark.parametrize("method", TRIES)
async def test_anothers_does_not_exist(filled: Rows, tmp_path: Path, method: str) -> None:
    before = dumped(tmp_path / "store.sqlite")
    assert not await getattr(filled.of("bob"), method)(*TRIES[method])
    assert dumped(tmp_path / "store.sqlite") == before
    seen = await getattr(filled.of("alice"), method)(*TRIES[method])
    assert seen or dumped(tmp_path / "store.sqlite") != before, "her own is seen, or changed"


async def test_a_turn_of_anothers_conversation_adds_nothing_to_it(filled: Rows) -> None:
    await filled.of("bob").finish_response(Finish(RESPONSE, keep_row=False, said=[ITEM]))
    assert [item["id"] for item, _ in await filled.conversation_items("conv_a")] == ["msg_c"]


async def test_nobody_answers_in_anothers_place(filled: Rows) -> None:
    assert await filled.of("bob").claim_approvals(["mcpr_a", "mcpr_b"], "resp_b") is None
    assert await filled.of("alice").claim_approvals(["mcpr_b"], "resp_a") is None
    assert await filled.of("alice").claim_approvals(["mcpr_a"], "resp_c") == "mcpr_a"


async def test_a_deletion_that_deletes_nothing_is_none(filled: Rows) -> None:
    """It would make everybody read their chains again."""
    before = await filled.deletions()
    await filled.of("bob").delete_response("resp_a")
    assert await filled.deletions() == before


async def test_files_and_containers_are_counted_for_each(filled: Rows) -> None:
    bob = filled.of("bob")
    assert not await bob.put_file(FileRow("file-b", 1, "b", "user_data", 8), most=7)
    assert await bob.put_file(FileRow("file-b", 1, "b", "user_data", 7), most=7)
    assert not await bob.put_file(FileRow("file-c", 1, "c", "user_data", 1), most=7)
    assert await filled.of("alice").stored_bytes() == 7
    for name, most, added in (("cntr_b", 1, True), ("cntr_c", 1, False), ("cntr_c", 2, True)):
        row = ContainerRow(name, "n", "bubblewrap", 1, 1, 20, "creating", None, "bob")
        assert await bob.add_container(row, most) is added
    assert await bob.end_container("cntr_b", "expired")
    row = ContainerRow("cntr_d", "n", "bubblewrap", 1, 1, 20, "creating", None, "bob")
    assert await bob.add_container(row, 2), "an expired one counts no more"
    assert not await bob.change_container("cntr_b", "expired", "restoring", 2.0, most=2)
    assert await bob.change_container("cntr_b", "expired", "restoring", 2.0, most=3)


@pytest.mark.parametrize("backend", [pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)], indirect=True)
async def test_a_checkpoint_is_its_containers_owners(make: Any, store: Rows, audited: Any) -> None:
    """Whoever restores it: the operator gives back what was hers, and nobody else can take it."""
    operators = make()
    alice, bob = (LocalContainers(operators._lifecycle, store.of(name)) for name in ("alice", "bob"))
    container = await alice.create({"name": "c"})
    with pytest.raises(NotFound):
        await bob.checkpoint(container.id)
    snapshot = await alice.checkpoint(container.id)
    assert snapshot.labels["agent_kernel.key"] == "alice"
    with pytest.raises(NotFound):
        await bob.restore(container.id, snapshot.id)
    for call in (bob.snapshots(container.id), bob.delete_snapshot(container.id, snapshot.id)):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound):
        await bob.fork(container.id, snapshot_id=snapshot.id)
    restored = await operators.begin_from(snapshot)
    assert {each.id for each in (await alice.list()).data} == {container.id, restored.id}
    assert (await bob.list()).data == []
    assert {line["key"] for line in audited("create", "checkpoint")} == {"alice"}
