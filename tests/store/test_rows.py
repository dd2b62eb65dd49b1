"""The contract of rows, for every kind of store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from agent_kernel.keys import KeyLimits
from agent_kernel.store.records import (
    ContainerRow,
    FileRow,
    Finish,
    KeyRow,
    ResponseRow,
    SkillNote,
    Unfinished,
)
from agent_kernel.store.rows import Rows
from tests.store.conftest import Open


def turn(name: str, previous_id: str | None = None, **changes: Any) -> ResponseRow:
    row = ResponseRow(
        id=name, created_at=1.5, status="completed", model="m", previous_id=previous_id, container_id=None,
        request={"model": "m"}, input=[{"type": "message", "content": "é\0\U0001f600"}],
        response={"id": name, "output": []},
    )  # fmt: skip
    return replace(row, **changes)


def message(name: str, text: str = "") -> dict[str, str]:
    return {"id": name, "type": "message", "text": text}


def container(id_: str, **changes: Any) -> ContainerRow:
    row = ContainerRow(
        id=id_, name="n", backend="bubblewrap", created_at=100.0, last_active_at=100.0, expires_after=1,
        status="running", memory_limit=None,
    )  # fmt: skip
    return replace(row, **changes)


# -- responses


async def test_response_comes_back_as_put(rows: Rows) -> None:
    whole = turn("a", container_id="c", owner="o", conversation_id="v", resumed=2)
    await rows.put_response(whole)
    assert await rows.response("a") == whole
    assert await rows.response("b") is None
    for strange in ("", "\0", "a\0", "%", "'", "é" * 4000):
        assert await rows.response(strange) is None


async def test_put_replaces(rows: Rows) -> None:
    await rows.put_response(turn("a", owner="o"))
    await rows.put_response(turn("a", status="failed", response={"output": [message("m")]}, resumed=1))
    row = await rows.response("a")
    assert row is not None
    assert (row.status, row.owner, row.resumed, row.response) == (
        "failed", None, 1, {"output": [message("m")]},
    )  # fmt: skip


async def test_chain_of_any_response(rows: Rows) -> None:
    for name, previous in (("root", None), ("left", "root"), ("right", "root"), ("leaf", "right")):
        await rows.put_response(turn(name, previous))
    assert [row.id for row in await rows.chain("leaf")] == ["root", "right", "leaf"]
    assert [row.id for row in await rows.chain("left")] == ["root", "left"]
    assert await rows.chain("none") == []
    assert await rows.delete_response("root")
    assert [row.id for row in await rows.chain("leaf")] == ["right", "leaf"]


async def test_deletions_are_counted(rows: Rows) -> None:
    await rows.put_response(turn("a"))
    before = await rows.deletions()
    assert not await rows.delete_response("b")
    assert await rows.deletions() == before
    assert await rows.delete_response("a")
    assert not await rows.delete_response("a")
    assert await rows.deletions() > before


async def test_expiry_spares_what_is_continued(rows: Rows) -> None:
    for name, previous, made in (
        ("old", None, 1.0), ("kept", None, 2.0), ("young", "kept", 30.0), ("dead end", "old", 3.0),
        ("younger", None, 40.0),
    ):  # fmt: skip
        await rows.put_response(turn(name, previous, created_at=made))
    await rows.put_response(turn("running", created_at=1.0, owner="o"))
    before = await rows.deletions()
    assert await rows.expire_responses(10.0) == (2, 30.0)
    assert await rows.deletions() > before
    left = [n for n in ("old", "kept", "young", "dead end", "younger", "running") if await rows.response(n)]
    assert left == ["kept", "young", "younger", "running"]
    assert await rows.expire_responses(10.0) == (0, 30.0)
    assert await rows.expire_responses(1000.0) == (3, None)


async def test_unfinished_and_adopted(rows: Rows) -> None:
    await rows.put_response(turn("a", owner="dead"))
    await rows.put_response(turn("b"))
    assert await rows.unfinished_responses() == [Unfinished("a", 1.5, "m", "dead")]
    assert not await rows.adopt_response("a", "other", "new")
    assert await rows.adopt_response("a", "dead", "new")
    assert not await rows.adopt_response("a", "dead", "new")
    assert [row.owner for row in await rows.unfinished_responses()] == ["new"]


async def test_one_process_adopts(opened: Open) -> None:
    await opened().rows.put_response(turn("a", owner="dead"))
    others = [opened().rows for _ in range(6)]
    wins = await asyncio.gather(*(r.adopt_response("a", "dead", str(n)) for n, r in enumerate(others)))
    assert sum(wins) == 1


async def test_write_off(rows: Rows) -> None:
    await rows.put_response(turn("a", owner="us"))
    await rows.append_events("a", [(0, "{}"), (1, "{}")])
    assert not await rows.write_off_response("a", "others", {"output": []}, (2, "last"))
    assert await rows.write_off_response("a", "us", {"output": []}, (2, "last"))
    row = await rows.response("a")
    assert row is not None
    assert (row.status, row.owner, row.response) == ("incomplete", None, {"output": []})
    assert (row.request, row.input) == (turn("a").request, turn("a").input)
    assert await rows.events("a", -1, 10) == [(2, "last")]
    assert not await rows.write_off_response("a", "us", {"output": []}, (3, "last"))


async def test_journal(rows: Rows) -> None:
    await rows.put_response(turn("a"))
    await rows.append_events("a", [(number, f'{{"n": "\\u0000{number}"}}') for number in range(5)])
    await rows.append_events("a", [(4, "new"), (5, "é")])
    assert await rows.events("a", 2, 2) == [(3, '{"n": "\\u00003"}'), (4, "new")]
    assert await rows.events("a", 4, 10) == [(5, "é")]
    await rows.append_events("none", [(0, "{}")])
    assert await rows.events("none", -1, 10) == []
    await rows.delete_response("a")
    assert await rows.events("a", -1, 10) == []


@pytest.mark.parametrize("keep_events", [True, False])
async def test_finish(rows: Rows, keep_events: bool) -> None:
    running = turn("a", status="in_progress", owner="o", input=[message("in")])
    await rows.put_response(running)
    await rows.append_events("a", [(0, "first")])
    ended = replace(running, status="completed", owner=None, response={"output": [message("out", "x")]})
    await rows.finish_response(Finish(ended, [(1, "last")], keep_events))
    assert await rows.response("a") == ended
    assert await rows.events("a", -1, 10) == ([(0, "first"), (1, "last")] if keep_events else [])
    assert await rows.item("out") == message("out", "x")
    assert await rows.item("in") == message("in")
    assert await rows.item("none") is None
    await rows.delete_response("a")
    assert await rows.item("out") is None


async def test_finish_of_a_deleted_turn_makes_no_row(rows: Rows) -> None:
    await rows.finish_response(Finish(turn("a", response={"output": [message("m")]}), [(0, "{}")], True))
    assert await rows.response("a") is None
    assert await rows.item("m") is None


async def test_finish_without_row_fills_the_conversation(rows: Rows) -> None:
    await rows.put_conversation("v", 1.0, {})
    ended = turn("a", status="incomplete", conversation_id="v", container_id="c")
    await rows.finish_response(Finish(ended, keep_row=False, said=[message("m")]))
    assert await rows.response("a") is None
    assert await rows.conversation_items("v") == [(message("m"), True)]
    assert await rows.conversation("v") == (1.0, {}, "c")
    await rows.finish_response(Finish(replace(ended, container_id=None), keep_row=False))
    assert await rows.conversation("v") == (1.0, {}, "c")


# -- conversations


async def test_conversation(rows: Rows) -> None:
    assert await rows.conversation("v") is None
    await rows.put_conversation("v", 1.5, {"a": "é"})
    await rows.put_conversation("v", 9.0, {"b": "2"})
    assert await rows.conversation("v") == (1.5, {"b": "2"}, None)
    await rows.add_conversation_items("v", [message("1"), message("2")])
    await rows.add_conversation_items("v", [message("3"), message("1", "again"), message("3", "last")])
    items = [message("2"), message("1", "again"), message("3", "last")]
    assert await rows.conversation_items("v") == [(item, False) for item in items]
    assert await rows.item("2") == message("2")
    assert await rows.delete_conversation_item("v", "2")
    assert not await rows.delete_conversation_item("v", "2")
    await rows.add_conversation_items("none", [message("1")])
    assert await rows.conversation_items("none") == []
    assert await rows.delete_conversation("v")
    assert not await rows.delete_conversation("v")
    assert await rows.conversation_items("v") == []


# -- approvals


async def test_approvals_are_answered_once(rows: Rows) -> None:
    assert await rows.claim_approvals(["1", "2"], "a") is None
    assert await rows.claim_approvals(["3", "2"], "b") == "2"
    assert await rows.answered_approvals(["1", "2", "3"]) == {"1", "2"}
    assert await rows.of("alice").claim_approvals(["1"], "c") is None


async def test_one_process_answers(opened: Open) -> None:
    others = [opened().rows for _ in range(6)]
    answers = await asyncio.gather(*(r.claim_approvals(["1", "2"], str(n)) for n, r in enumerate(others)))
    assert sorted(answers, key=str) == [*["1"] * 5, None]


# -- containers


async def test_container_comes_back_as_put(rows: Rows) -> None:
    await rows.put_container(container("b", memory_limit="1g", tenant="t"))
    await rows.put_container(container("a"))
    assert await rows.containers() == [container("b", memory_limit="1g", tenant="t"), container("a")]
    await rows.put_container(container("b", name="new", tenant="other", created_at=3.0))
    assert await rows.container("b") == container("b", name="new", tenant="t")
    assert await rows.delete_container("b")
    assert not await rows.delete_container("b")
    assert await rows.container("b") is None


async def test_container_ends_once_and_only_when_idle(rows: Rows) -> None:
    await rows.put_container(container("a"))
    assert not await rows.end_container("a", "expired", if_idle_at=159.9)
    await rows.touch_container("a", 130.0)
    await rows.touch_container("a", 120.0)
    assert not await rows.end_container("a", "expired", if_idle_at=160.0)
    assert await rows.end_container("a", "expired", if_idle_at=190.0)
    assert not await rows.end_container("a", "dead")
    row = await rows.container("a")
    assert row is not None
    assert (row.status, row.last_active_at) == ("expired", 130.0)


async def test_container_changes_from_one_status(rows: Rows) -> None:
    await rows.put_container(container("a", status="expired"))
    assert not await rows.change_container("a", "running", "restoring", 5.0)
    assert not await rows.change_container("a", "expired", "restoring", 5.0, most=0)
    assert await rows.change_container("a", "expired", "restoring", 5.0, most=1)
    assert not await rows.change_container("none", "expired", "restoring", 5.0, most=1)
    row = await rows.container("a")
    assert row is not None
    assert (row.status, row.last_active_at) == ("restoring", 5.0)


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
    "rename_container": ("cntr_a", "cntr_b"),
    "delete_container": ("cntr_a",),
    "add_upload": ("cntr_a", "/mnt/data/b"),
    "remove_upload": ("cntr_a", "/mnt/data/a"),
    "uploads": ("cntr_a",),
    "put_skill": ("cntr_a", SkillNote("s", "", "/mnt/skills/s", "other")),
    "skills": ("cntr_a",),
    "answered_approvals": (["mcpr_a"],),
    "file": ("file-a",),
    "files": (),
    "stored_bytes": (),
    "delete_file": ("file-a",),
}


async def seen(rows: Rows) -> list[Any]:
    return [
        await rows.response("resp_a"), await rows.events("resp_a", -1, 10), await rows.item("msg_a"),
        await rows.conversation("conv_a"), await rows.conversation_items("conv_a"), await rows.containers(),
        await rows.uploads("cntr_a"), await rows.skills("cntr_a"), await rows.files(),
        await rows.answered_approvals(["mcpr_a"]), await rows.stored_bytes(),
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
    await alice.add_upload("cntr_a", "/mnt/data/a")
    await alice.put_skill("cntr_a", SkillNote("s", "", "/mnt/skills/s", "digest"))
    await alice.put_file(FileRow("file-a", 1, "a", "user_data", 7))
    before = await seen(alice)
    assert all(before)
    for other in ("bob", ""):
        assert not await getattr(rows.of(other), method)(*TRIES[method])
        assert await seen(alice) == before
    assert await getattr(alice, method)(*TRIES[method]) or await seen(alice) != before
