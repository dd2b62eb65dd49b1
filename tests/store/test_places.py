"""Every kind of store knows where a deleted entry was in its list, in every process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from agent_kernel.store.records import FileRow
from agent_kernel.store.rows import Rows
from tests.store.conftest import Open
from tests.store.rows_made import container, message

NAMES = ("a", "b", "c", "d", "e")

Delete = Callable[[str], Awaitable[bool]]


async def filled(rows: Rows, listed: str) -> Delete:
    """Put five entries into a list, two of them made at the same moment; return how to delete one."""
    await rows.put_conversation("conv_v", 1.0, {})
    for name, when in zip(NAMES, (1.0, 2.0, 2.0, 3.0, 4.0), strict=True):
        if listed == "files":
            await rows.put_file(FileRow(name, when, name, "user_data", 1))
        elif listed == "containers":
            await rows.put_container(container(name, created_at=when))
        else:
            await rows.add_conversation_items(listed, [message(name)])

    async def delete_item(name: str) -> bool:
        return await rows.delete_conversation_item(listed, name)

    return {"files": rows.delete_file, "containers": rows.delete_container}.get(listed, delete_item)


@pytest.mark.parametrize("listed", ["files", "containers", "conv_v"])
async def test_the_entry_before_a_deleted_one_is_known(opened: Open, listed: str) -> None:
    delete = await filled(opened().rows, listed)
    other = opened().rows  # as another process, or this one after a restart
    assert await other.before(listed, "c") is None
    for name, expected in (("c", "b"), ("e", "d"), ("d", "b"), ("b", "a"), ("a", "")):
        assert await delete(name)
        assert await other.before(listed, name) == expected
    assert [await other.before(listed, name) for name in NAMES] == [""] * 5
    assert await other.before(listed, "z") is None
    assert await other.before("conv_other", "a") is None


async def test_an_item_that_came_again_is_deleted_at_its_new_place(opened: Open) -> None:
    delete = await filled(rows := opened().rows, "conv_v")
    await delete("b")
    await rows.add_conversation_items("conv_v", [message("b")])
    await delete("b")
    assert await rows.before("conv_v", "b") == "e"


async def test_a_place_goes_with_its_container(opened: Open) -> None:
    rows = opened().rows
    await rows.put_place("none", "cfile_a", "x")
    assert await rows.place("none", "cfile_a") is None
    await rows.put_container(container("a"))
    await rows.put_place("a", "cfile_a", "here")
    await rows.put_place("a", "cfile_a", "there")
    assert await opened().rows.place("a", "cfile_a") == "there"
    await rows.delete_container("a")
    await rows.put_container(container("a"))
    assert await rows.place("a", "cfile_a") is None
