"""Every kind of store with vector stores keeps the same contract: files, batches, chunks, search, uploads."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from agent_kernel.store.documents import BatchRow, Documents, StoredFileRow, UploadRow, VectorStoreRow
from tests.store.conftest import Open

pytestmark = pytest.mark.parametrize("store_url", ["sqlite", "postgresql"], indirect=True)


def store_row(id: str = "vs_1", **more: object) -> VectorStoreRow:  # noqa: A002
    return VectorStoreRow(id, 1.0, "papers", None, {"a": "é"}, 2, 1.0, **more)  # type: ignore[arg-type]


@pytest.fixture
def all_rows(opened: Open) -> Documents:
    """The rows of all tenants."""
    documents = opened().documents
    assert documents is not None
    return documents


@pytest.fixture
async def documents(all_rows: Documents) -> Documents:
    """Ann's rows, with one vector store."""
    found = all_rows.of("ann")
    await found.put_store(store_row())
    return found


def vector(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}e", *values)


async def indexed(
    documents: Documents,
    file_id: str,
    texts: Sequence[str],
    vectors: Sequence[bytes] | None = None,
    store_id: str = "vs_1",
) -> StoredFileRow:
    """Add a file and index it."""
    await documents.add_files([StoredFileRow(store_id, file_id, 2.0, f"{file_id}.md", owner="me")])
    row = await documents.stored_file(store_id, file_id)
    assert row is not None
    assert await documents.add_chunks(row, texts, vectors)
    model = "m" if vectors else None
    await documents.end_file(row, "completed", usage_bytes=sum(map(len, texts)), embedded_with=model)
    return row


async def texts_of(documents: Documents, row: StoredFileRow) -> list[str]:
    return [text async for text in documents.chunk_texts(row)]


async def words(documents: Documents, *wanted: str, files: list[int] | None = None) -> list[str]:
    return [hit.text for hit in await documents.find_words("vs_1", wanted, files, 10)]


async def test_vector_stores_are_changed_touched_and_deleted(documents: Documents) -> None:
    await documents.put_store(store_row("vs_2"))
    await documents.put_store(VectorStoreRow("vs_2", 9.0, "other", "d", {}, None, 3.0))
    await documents.touch_stores(["vs_1"], 5.0)
    one, two = await documents.stores()
    assert one == store_row(tenant="ann").__class__(
        **{**vars(store_row(tenant="ann")), "last_active_at": 5.0}
    )
    assert two == VectorStoreRow("vs_2", 1.0, "other", "d", {}, None, 3.0, "ann")
    await indexed(documents, "f", ["zeppelin"])
    assert await documents.delete_store("vs_1")
    assert not await documents.delete_store("vs_1")
    assert await documents.store("vs_1") is None
    assert await documents.stored_file("vs_1", "f") is None
    assert await words(documents, "zeppelin") == []


async def test_tenants_see_only_their_own(all_rows: Documents, documents: Documents) -> None:
    other = all_rows.of("bob")
    row = await indexed(documents, "f", ["zeppelin"])
    assert await other.stores() == []
    assert await other.store("vs_1") is None
    assert await other.stored_file("vs_1", "f") is None
    assert await other.stored_files("vs_1") == []
    assert not await other.delete_store("vs_1")
    assert not await other.delete_stored_file("vs_1", "f")
    assert not await other.set_attributes("vs_1", "f", {"a": 1})
    await other.forget_file("f")
    assert await texts_of(documents, row) == ["zeppelin"]
    assert [each.tenant for each in await all_rows.stores()] == ["ann"]


async def test_files_and_batches_are_counted(documents: Documents) -> None:
    files = [StoredFileRow("vs_1", each, 2.0, f"{each}.md", {"n": 1}, batch_id="b") for each in "xyz"]
    await documents.add_files(files, BatchRow("b", "vs_1", 2.0))
    row = (await documents.stored_files("vs_1", "b"))[0]
    await documents.end_file(row, "completed", usage_bytes=7)
    await documents.cancel_batch("b")
    assert await documents.counts("vs_1") == {"completed": 1, "cancelled": 2, "usage_bytes": 7}
    assert await documents.counts("vs_1", "none") == {"usage_bytes": 0}
    assert await documents.batch("b") == BatchRow("b", "vs_1", 2.0, cancelled=True)
    assert [each.file_id for each in await documents.stored_files("vs_1")] == ["x", "y", "z"]
    assert await documents.set_attributes("vs_1", "y", {"year": 2024, "draft": True})
    changed = await documents.stored_file("vs_1", "y")
    assert changed is not None
    assert changed.attributes == {"year": 2024, "draft": True}
    await documents.add_files([StoredFileRow("vs_1", "x", 3.0, "again.md")])  # in place of the first
    assert [each.filename for each in await documents.stored_files("vs_1")] == ["y.md", "z.md", "again.md"]


async def test_one_process_indexes_a_file(all_rows: Documents, documents: Documents) -> None:
    await documents.add_files([StoredFileRow("vs_1", "f", 2.0, "f.md", owner="dead")])
    (row,) = await all_rows.pending_files()
    assert await all_rows.add_chunks(row, ["half"], None)
    assert await all_rows.adopt_file(row, "me")
    assert not await all_rows.adopt_file(row, "another")
    assert not await all_rows.add_chunks(row, ["of the dead process"], None)
    mine = StoredFileRow(**{**vars(row), "owner": "me"})
    assert await texts_of(documents, mine) == []
    await all_rows.end_file(mine, "failed", error=("invalid_file", "why"))
    ended = await documents.stored_file("vs_1", "f")
    assert ended is not None
    assert (ended.status, ended.error_code, ended.error, ended.owner) == (
        "failed", "invalid_file", "why", None,
    )  # fmt: skip
    assert await all_rows.pending_files() == []


async def test_words_are_found_in_other_forms_best_first(documents: Documents) -> None:
    texts = [
        "The reactors are cooled with water; a reactor cooler.",
        "A reactor.",
        "Größe 日本語 docs/api.md",
    ]
    row = await indexed(documents, "f", texts)
    other = await indexed(documents, "g", ["Reactor and " + "much else " * 50])
    assert await words(documents, "reactor", "cooling") == [*texts[:2], "Reactor and " + "much else " * 50]
    assert await words(documents, "reactor", files=[other.number]) == ["Reactor and " + "much else " * 50]
    assert await words(documents, "reactor", files=[]) == []
    for each in ("größe", "日本語", "api", "md"):
        assert await words(documents, each) == texts[2:]
    assert await words(documents, "the") == texts[:1]
    assert await words(documents, "' OR \"x", "*", "q:b | c", "") == []
    hits = await documents.find_words("vs_1", ["reactor"], None, 2)
    assert [hit.file for hit in hits] == [row.number] * len(hits)
    assert hits[0].score >= hits[1].score
    assert await documents.find_words("unknown", ["reactor"], None, 2) == []


async def test_unfinished_and_deleted_files_are_not_found(documents: Documents) -> None:
    await documents.add_files([StoredFileRow("vs_1", "f", 2.0, "f.md")])
    row = await documents.stored_file("vs_1", "f")
    assert row is not None
    assert await documents.add_chunks(row, ["zeppelin"], None)
    assert await words(documents, "zeppelin") == []
    await documents.end_file(row, "completed")
    assert await words(documents, "zeppelin") == ["zeppelin"]
    assert await documents.delete_stored_file("vs_1", "f")
    assert await words(documents, "zeppelin") == []
    await indexed(documents, "g", ["zeppelin"])
    await documents.forget_file("g")
    await documents.tidy()
    assert await words(documents, "zeppelin") == []


async def test_the_nearest_passage_of_a_chunk_counts(documents: Documents) -> None:
    many = [vector(0, 1)] * 600
    vectors = [vector(1, 0), vector(0, 1) + vector(0.5, 0.5), *many]
    row = await indexed(documents, "f", ["one", "two", *(f"n{n}" for n in range(600))], vectors)
    await indexed(documents, "g", ["words only"])
    found = await documents.find_vectors("vs_1", vector(1, 0), "m", None, 3)
    assert [(hit.text, hit.score) for hit in found][:2] == [("one", 1.0), ("two", 0.5)]
    assert len(found) == 3
    assert await documents.find_vectors("vs_1", vector(1, 0), "another", None, 3) == []
    assert await documents.find_vectors("vs_1", vector(1, 0), "m", [row.number + 1], 3) == []
    assert len(await texts_of(documents, row)) == 602


async def test_parts_of_an_upload_are_bounded(documents: Documents, all_rows: Documents) -> None:
    row = UploadRow("upload_1", 1.0, 2.0, "p.txt", "assistants", 10)
    assert await documents.put_upload(row)
    assert await documents.add_part("upload_1", "a", 6, 10)
    assert not await documents.add_part("upload_1", "b", 5, 10)
    assert not await all_rows.of("bob").add_part("upload_1", "b", 1, 10)
    done = UploadRow(**{**vars(row), "status": "completed", "file_id": "file-1"})
    assert await documents.put_upload(done, "pending")
    assert not await documents.put_upload(done, "pending")
    assert not await documents.add_part("upload_1", "b", 1, 10)
    found = await documents.upload("upload_1")
    assert found is not None
    assert (found.status, found.file_id, found.parts, found.tenant) == (
        "completed", "file-1", {"a": 6}, "ann",
    )  # fmt: skip
    await documents.delete_upload("upload_1")
    assert await all_rows.uploads() == []
