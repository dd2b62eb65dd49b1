"""The contract of rows, for every kind of store: what belongs together, and where a text occurs."""

from __future__ import annotations

from agent_kernel.store.rows import Rows
from tests.store.rows_made import message, turn


async def test_related_turns_are_a_whole_tree(rows: Rows) -> None:
    for row in (
        turn("root"), turn("a", "root"), turn("a2", "a"), turn("b", "root"), turn("b2", "b"),
        turn("other"), turn("later", "other"), turn("orphan", "gone"),
    ):  # fmt: skip
        await rows.put_response(row)
    tree = {"root", "a", "a2", "b", "b2"}
    for start in tree:
        assert await rows.related_responses([start]) == tree
    assert await rows.related_responses(["later", "orphan"]) == {"other", "later", "orphan"}
    assert await rows.related_responses(["none"]) == set()
    assert await rows.of("t").related_responses(["root"]) == set()


async def test_texts_are_found_where_they_are(rows: Rows) -> None:
    await rows.put_response(turn("one", container_id="cntr_1", request={"model": "m", "x": "100%_!"}))
    await rows.put_response(turn("two", input=[message("i", "cntrX1")]))
    await rows.of("t").put_response(
        turn("three", response={"id": "three", "output": [message("j", "file-9")]})
    )
    await rows.append_events("two", [(0, '{"text": "file-9"}')])
    await rows.put_conversation("conv", 1.0, {})
    await rows.add_conversation_items("conv", [message("k", "file-9")])
    assert await rows.mentions("cntr_1") == {("responses", "one")}
    assert await rows.mentions("100%_!") == {("responses", "one")}
    assert await rows.mentions("file-9") == {
        ("responses", "three"), ("events", "two"), ("conversations", "conv")
    }  # fmt: skip
    assert await rows.of("t").mentions("file-9") == {("responses", "three")}
    assert await rows.mentions("nowhere") == set()
