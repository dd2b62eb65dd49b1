"""The contract of rows, for every kind of store: containers, files, keys, and what tenants see."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from agent_kernel.keys import KeyLimits
from agent_kernel.store.records import (
    FileRow,
    Finish,
    KeyRow,
    SkillNote,
)
from agent_kernel.store.rows import Rows
from tests.store.conftest import Open
from tests.store.rows_made import container, message, session, turn


async def test_container_comes_back_as_put(rows: Rows) -> None:
    await rows.put_container(container("b", memory_limit="1g", tenant="t"))
    await rows.put_container(container("a"))
    assert await rows.containers() == [container("b", memory_limit="1g", tenant="t"), container("a")]
    await rows.put_container(container("b", name="new", tenant="other", created_at=3.0))
    assert await rows.container("b") == container("b", name="new", tenant="t")
    assert await rows.delete_container("b")
    assert not await rows.delete_container("b")
    assert await rows.container("b") is None


async def test_network_of_a_container_is_replaced(rows: Rows) -> None:
    await rows.put_container(container("a", network='{"ports": null}'))
    await rows.put_container(container("b"))
    assert await rows.put_network("a", '{"ports": [80]}')
    assert not await rows.put_network("none", "{}")
    assert await rows.containers() == [container("a", network='{"ports": [80]}'), container("b")]


async def test_container_ends_once_and_only_when_idle(rows: Rows) -> None:
    await rows.put_container(container("a"))
    assert not await rows.end_container("a", "expired", if_idle_at=159.9)
    assert await rows.touch_container("a", 130.0) == container("a", last_active_at=130.0)
    assert await rows.touch_container("a", 120.0) == container("a", last_active_at=130.0)
    assert await rows.touch_container("none", 120.0) is None
    assert not await rows.end_container("a", "expired", if_idle_at=160.0)
    assert await rows.end_container("a", "expired", if_idle_at=190.0)
    assert not await rows.end_container("a", "dead")
    row = await rows.container("a")
    assert row is not None
    assert (row.status, row.last_active_at) == ("expired", 130.0)
    assert await rows.touch_container("a", 140.0) == row


async def test_container_changes_from_one_status(rows: Rows) -> None:
    await rows.put_container(container("a", status="expired"))
    assert not await rows.change_container("a", "running", "restoring", 5.0)
    assert not await rows.change_container("a", "expired", "restoring", 5.0, most=0)
    assert await rows.change_container("a", "expired", "restoring", 5.0, most=1)
    assert not await rows.change_container("none", "expired", "restoring", 5.0, most=1)
    row = await rows.container("a")
    assert row is not None
    assert (row.status, row.last_active_at) == ("restoring", 5.0)


async def test_sandbox_of_a_container_is_replaced_once(rows: Rows) -> None:
    await rows.put_container(container("a"))
    await rows.put_container(container("b", status="expired"))
    assert await rows.replace_sandbox("a", "", "a-1", 130.0)
    assert not await rows.replace_sandbox("a", "", "a-2", 140.0)
    assert not await rows.replace_sandbox("b", "", "b-1", 140.0)
    assert not await rows.replace_sandbox("none", "", "c-1", 140.0)
    row = await rows.container("a")
    assert row is not None
    assert (row.sandbox, row.sandbox_id, row.last_active_at) == ("a-1", "a-1", 130.0)
    assert not await rows.delete_container("a", sandbox="")
    assert await rows.delete_container("a", sandbox="a-1")
    row = await rows.container("b")
    assert row is not None
    assert (row.sandbox, row.sandbox_id) == ("", "b")


async def test_limit_of_containers_holds_across_processes(opened: Open) -> None:
    others = [opened().rows for _ in range(8)]
    added = await asyncio.gather(
        *(r.add_container(container(str(n), tenant="t"), 3) for n, r in enumerate(others))
    )
    assert sum(added) == 3
    assert len(await others[0].containers()) == 3
    assert await others[0].add_container(container("x", tenant="u"), 3)
    assert await others[0].add_container(container("y", tenant="t"), None)


async def test_uploads_and_skills_go_with_their_container(rows: Rows) -> None:
    note = SkillNote("s", "d", "/mnt/skills/s", "1")
    await rows.put_container(container("a"))
    for path in ("/mnt/data/x", "/mnt/data/x", "/mnt/data/é"):
        await rows.add_upload("a", path)
    await rows.put_skill("a", note)
    await rows.put_skill("a", replace(note, digest="2"))
    await rows.put_container(container("a", name="new"))
    assert await rows.uploads("a") == {"/mnt/data/x", "/mnt/data/é"}
    assert await rows.skills("a") == [replace(note, digest="2")]
    await rows.remove_skill("a", "other")
    await rows.remove_skill("b", "s")
    assert await rows.skills("a") == [replace(note, digest="2")]
    await rows.remove_skill("a", "s")
    assert await rows.skills("a") == []
    await rows.put_skill("a", note)
    await rows.remove_upload("a", "/mnt/data/x")
    assert await rows.uploads("a") == {"/mnt/data/é"}
    await rows.delete_container("a")
    for name in ("a", "none"):
        await rows.add_upload(name, "/mnt/data/y")
        await rows.put_skill(name, note)
    await rows.put_container(container("a"))
    assert await rows.uploads("a") == set()
    assert await rows.skills("a") == []


async def test_renamed_container_keeps_skills_and_uploads(rows: Rows) -> None:
    note = SkillNote("s", "d", "/mnt/skills/s", "1")
    await rows.put_container(container("a"))
    await rows.put_skill("a", note)
    await rows.add_upload("a", "/mnt/data/x")
    await rows.rename_container("a", "b")
    assert await rows.container("a") is None
    assert await rows.container("b") == container("b")
    assert await rows.skills("b") == [note]
    assert await rows.uploads("b") == {"/mnt/data/x"}


# -- files and keys


async def test_files(rows: Rows) -> None:
    big = FileRow("f1", 2.5, "é", "user_data", 5_000_000_000, 9.5)
    small = FileRow("f2", 1.5, "b", "user_data", 1)
    assert await rows.put_file(big)
    assert await rows.put_file(small)
    assert await rows.files() == [small, big]
    assert await rows.file("f1") == big
    assert await rows.file("none") is None
    assert await rows.stored_bytes() == 5_000_000_001
    assert await rows.delete_file("f1")
    assert not await rows.delete_file("f1")
    assert await rows.stored_bytes() == 1


async def test_limit_of_bytes_holds_across_processes(opened: Open) -> None:
    others = [opened().rows.of("t") for _ in range(8)]
    added = await asyncio.gather(
        *(r.put_file(FileRow(str(n), 1.0, "a", "p", 10), 35) for n, r in enumerate(others))
    )
    assert sum(added) == 3
    assert await others[0].put_file(FileRow("x", 1.0, "a", "p", 5), 35)
    assert not await others[0].put_file(FileRow("y", 1.0, "a", "p", 1), 35)


async def test_keys(rows: Rows) -> None:
    one = KeyRow("b", "id1", "hash1", 1.5, None, KeyLimits(1, None, 5_000_000_000, 4))
    assert await rows.add_key(one)
    assert not await rows.add_key(replace(one, id="id2"))
    assert await rows.add_key(replace(one, name="a", id="id3"))
    assert await rows.key("id1") == one
    assert await rows.key("none") is None
    assert [row.name for row in await rows.keys()] == ["a", "b"]
    assert await rows.revoke_key("b", 7.5)
    assert not await rows.revoke_key("b", 8.5)
    assert await rows.key("id1") == replace(one, revoked_at=7.5)
    again = replace(one, id="id4", limits=KeyLimits())
    assert await rows.add_key(again)
    assert await rows.key("id1") is None
    assert await rows.key("id4") == again


# -- the whole


async def test_identity_is_one_for_all(opened: Open) -> None:
    identities = await asyncio.gather(*(opened().rows.identity() for _ in range(6)))
    assert len(set(identities)) == 1
    assert await opened().rows.of("alice").identity() == identities[0]


async def test_what_one_process_writes_another_reads(opened: Open) -> None:
    one, two = opened().rows, opened().rows
    await one.put_response(turn("a"))
    assert await two.response("a") == turn("a")


async def test_closed_twice(opened: Open) -> None:
    store = opened()
    await store.rows.identity()
    await store.aclose()
    await store.aclose()


ALICES = turn("resp_a", owner="process", conversation_id="conv_a", container_id="cntr_a",
              input=[message("msg_a")])  # fmt: skip

TRIES: dict[str, tuple[Any, ...]] = {
    "response": ("resp_a",),
    "chain": ("resp_a",),
    "delete_response": ("resp_a",),
    "adopt_response": ("resp_a", "process", "other"),
    "write_off_response": ("resp_a", "process", {"output": []}, (9, "{}")),
    "tenant_of_response": ("resp_a",),
    "events": ("resp_a", -1, 10),
    "item": ("msg_a",),
    "unfinished_responses": (),
    "finish_response": (Finish(replace(ALICES, status="failed"), said=[message("msg_x")]),),
    "conversation": ("conv_a",),
    "delete_conversation": ("conv_a",),
    "add_conversation_items": ("conv_a", [message("msg_b")]),
    "conversation_items": ("conv_a",),
    "delete_conversation_item": ("conv_a", "msg_c"),
    "container": ("cntr_a",),
    "containers": (),
    "touch_container": ("cntr_a", 990.0),
    "end_container": ("cntr_a", "dead"),
    "change_container": ("cntr_a", "running", "expired", 2.0),
    "put_network": ("cntr_a", "[1]"),
    "rename_container": ("cntr_a", "cntr_b"),
    "delete_container": ("cntr_a",),
    "add_upload": ("cntr_a", "/mnt/data/b"),
    "remove_upload": ("cntr_a", "/mnt/data/a"),
    "uploads": ("cntr_a",),
    "put_skill": ("cntr_a", SkillNote("s", "", "/mnt/skills/s", "other")),
    "skills": ("cntr_a",),
    "remove_skill": ("cntr_a", "s"),
    "replace_session": (session("sess_a", name="other", revision=2), 1),
    "session": ("sess_a",),
    "sessions": (),
    "delete_session": ("sess_a",),
    "session_containers": (),
    "interrupted_turn": ("sess_a",),
    "answered_approvals": (["mcpr_a"],),
    "file": ("file-a",),
    "files": (),
    "stored_bytes": (),
    "delete_file": ("file-a",),
    "before": ("files", "file-gone"),
    "put_place": ("cntr_a", "cfile_b", "other"),
    "place": ("cntr_a", "cfile_a"),
}


async def seen(rows: Rows) -> list[Any]:
    return [
        await rows.response("resp_a"), await rows.events("resp_a", -1, 10), await rows.item("msg_a"),
        await rows.conversation("conv_a"), await rows.conversation_items("conv_a"), await rows.containers(),
        await rows.uploads("cntr_a"), await rows.skills("cntr_a"), await rows.files(),
        await rows.answered_approvals(["mcpr_a"]), await rows.stored_bytes(),
        await rows.session("sess_a"), await rows.place("cntr_a", "cfile_a"),
        await rows.place("cntr_a", "cfile_b") or "none",
    ]  # fmt: skip


@pytest.mark.parametrize("method", TRIES)
async def test_another_tenants_rows_do_not_exist(rows: Rows, method: str) -> None:
    alice = rows.of("alice")
    await alice.put_conversation("conv_a", 1, {})
    await alice.add_conversation_items("conv_a", [message("msg_c")])
    await alice.put_response(ALICES)
    await alice.finish_response(Finish(ALICES, [(0, "{}")], keep_events=True))
    await alice.claim_approvals(["mcpr_a"], "resp_a")
    await alice.put_container(container("cntr_a", tenant="alice"))
    await alice.add_session(session("sess_a", container_id="cntr_a", updated_at=1.0, tenant="alice"), 1)
    await alice.add_upload("cntr_a", "/mnt/data/a")
    await alice.put_skill("cntr_a", SkillNote("s", "", "/mnt/skills/s", "digest"))
    await alice.put_file(FileRow("file-a", 1, "a", "user_data", 7))
    await alice.put_file(FileRow("file-gone", 2, "a", "user_data", 7))
    await alice.delete_file("file-gone")
    await alice.put_place("cntr_a", "cfile_a", "here")
    before = await seen(alice)
    assert all(before)
    for other in ("bob", ""):
        assert not await getattr(rows.of(other), method)(*TRIES[method])
        assert await seen(alice) == before
    assert await getattr(alice, method)(*TRIES[method]) or await seen(alice) != before
