"""Vector stores, uploads in parts and `file_search` on a real server, with the official client."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import openai
import pytest
from agents import Agent, FileSearchTool, OpenAIResponsesModel, RunConfig, Runner
from openai import AsyncOpenAI, OpenAI

from tests.server.keyed import Keyed
from tests.tools.file_search import made

pytestmark = pytest.mark.bubblewrap

REACTOR = b"# The reactor\n\nThe core is cooled with liquid sodium, which boils at 883 degrees.\n"
QUESTION = "How is the reactor cooled?"
WITH_RESULTS: Any = ["file_search_call.results"]


def stored(client: OpenAI, files: dict[str, bytes], **more: Any) -> tuple[str, dict[str, str]]:
    """Make a vector store with these files. Return its id, and the ids of the files by name."""
    store = client.vector_stores.create(name="test", **more)
    ids = {n: client.files.create(file=(n, data), purpose="assistants").id for n, data in files.items()}
    client.vector_stores.file_batches.create_and_poll(
        store.id, file_ids=list(ids.values()), poll_interval_ms=50
    )
    return store.id, ids


def texts(client: OpenAI, store: str, file_id: str) -> str:
    return "\n".join(
        str(part.text) for part in client.vector_stores.files.content(file_id, vector_store_id=store)
    )


def test_a_turn_searches_cites_and_is_continued(alice: OpenAI) -> None:
    store, ids = stored(alice, {"reactor.md": REACTOR, "other.md": b"Sailing is about wind."})
    tool: Any = {"type": "file_search", "vector_store_ids": [store]}
    with alice.responses.stream(model="", input=QUESTION, tools=[tool], include=WITH_RESULTS) as stream:
        events = list(stream)
        response: Any = stream.get_final_response()
    kinds = [event.type for event in events if getattr(event, "output_index", None) == 0]
    assert kinds == [
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
    ]
    added: Any = next(event for event in events if event.type == "response.output_item.added")
    assert (added.item.queries, added.item.results, added.item.status) == ([], None, "in_progress")
    call, message = response.output
    assert call.id.startswith("fs_")
    assert (call.queries, call.status) == (["reactor cooling", "coolant"], "completed")
    assert set(call.results[0].to_dict()) == {
        "attributes", "file_id", "filename", "score", "text", "vector_store_id",
    }  # fmt: skip
    (part,) = message.content
    assert part.text == "It is cooled with **liquid sodium** [reactor.md]. More in [none.md]."
    (citation,) = part.annotations
    assert citation.to_dict() == {
        "type": "file_citation", "file_id": ids["reactor.md"], "filename": "reactor.md",
        "index": part.text.index("]") + 1,
    }  # fmt: skip
    (echo,) = response.tools
    assert (echo.filters, echo.max_num_results) == (None, 20)
    assert echo.ranking_options.to_dict() == {"ranker": "auto", "score_threshold": 0.0}
    kept: Any = alice.responses.retrieve(response.id)
    assert kept.output[0].results is not None  # as its request had it
    later: Any = alice.responses.create(
        model="", input="And what is it made of?", tools=[tool], previous_response_id=response.id
    )
    assert [each.filename for each in later.output[0].content[0].annotations] == ["reactor.md"]
    without: Any = alice.responses.create(model="", input=QUESTION, tools=[tool])
    assert without.output[0].results is None
    again: Any = [*(item.to_dict() for item in without.output), {"role": "user", "content": QUESTION}]
    assert alice.responses.create(model="", input=again, tools=[tool]).status == "completed"


async def test_agents_sdk_completes_two_turns(served: Keyed, alice: OpenAI) -> None:
    store, _ = stored(alice, {"reactor.md": REACTOR})
    async with AsyncOpenAI(base_url=served.url, api_key=served.secrets["alice"], max_retries=0) as client:
        model = OpenAIResponsesModel(model="", openai_client=client)
        tool = FileSearchTool(vector_store_ids=[store], include_search_results=True, max_num_results=3)
        agent, quiet = Agent("reader", model=model, tools=[tool]), RunConfig(tracing_disabled=True)
        first = await Runner.run(agent, QUESTION, run_config=quiet)
        again: Any = [*first.to_input_list(), {"role": "user", "content": "And what is it made of?"}]
        second = await Runner.run(agent, again, run_config=quiet)
    assert first.final_output.startswith("It is cooled with **liquid sodium**")
    assert second.final_output == "Of steel [reactor.md]."


def test_each_kind_of_file_is_read_in_a_sandbox(served: Keyed, alice: OpenAI) -> None:
    files = {
        "a.pdf": made.pdf("Cranes dance in spring"), "b.docx": made.DOCX, "c.pptx": made.PPTX,
        "d.xlsx": made.XLSX, "e.html": made.HTML, "f.eml": made.MAIL, "g.py": b"def area(r): return r\r\n",
        "h.txt": "Größe".encode("cp1252"), "i.txt": "日本語".encode("utf-16"),
    }  # fmt: skip
    bad = {
        "j.png": b"\x89PNG\r\n\x1a\n\0\0", "k.pdf": b"%PDF-1.4 broken", "l.docx": made.NESTED,
        "m.docx": made.bomb(), "n.zip": made.package({"a.txt": "x"}),
    }  # fmt: skip
    store, ids = stored(alice, files | bad)
    found = {name: texts(alice, store, ids[name]) for name in files}
    assert found == {
        "a.pdf": "[page 1]\nCranes dance in spring",
        "b.docx": "The heron hunts at dawn.\nleft | right",
        "c.pptx": "[slide 1]\nOtters hold hands.",
        "d.xlsx": "[sheet Rivers]\nDanube | 2850",
        "e.html": "Moss\n\nMoss grows slowly.",
        "f.eml": "From: ann@example.org\nSubject: Grüße\n\nThe ferry leaves at nine.",
        "g.py": "def area(r): return r",
        "h.txt": "Größe",
        "i.txt": "日本語",
    }
    for name in bad:
        file = alice.vector_stores.files.retrieve(ids[name], vector_store_id=store)
        assert (name, file.status, file.usage_bytes) == (name, "failed", 0)
        assert file.last_error is not None
        wanted = "unsupported_file" if name in ("j.png", "n.zip") else "invalid_file"
        assert (name, file.last_error.code) == (name, wanted)
    counts = alice.vector_stores.retrieve(store).file_counts
    assert (counts.completed, counts.failed, counts.total) == (len(files), len(bad), len(files | bad))
    end = time.monotonic() + 30  # the sandbox is deleted after the last file is ready
    while (left := list(served.folder.glob("sandboxes/documents-*"))) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left


def test_filters_limit_what_is_found(alice: OpenAI) -> None:
    store = alice.vector_stores.create(name="filtered").id
    years = {"a.md": 2020, "b.md": 2022, "c.md": 2024}
    files: Any = [
        {
            "file_id": alice.files.create(file=(name, b"budget report"), purpose="assistants").id,
            "attributes": {"year": year, "draft": year == 2024, "by": name[0]},
        }
        for name, year in years.items()
    ]
    batch = alice.vector_stores.file_batches.create_and_poll(store, files=files, poll_interval_ms=50)
    assert batch.file_counts.completed == 3

    def names(**wanted: Any) -> str:
        found = alice.vector_stores.search(store, query="budget", filters=wanted)  # type: ignore[arg-type]
        return "".join(sorted(each.filename[0] for each in found))

    def where(kind: str, value: Any, key: str = "year") -> dict[str, Any]:
        return {"type": kind, "key": key, "value": value}

    assert [names(**where(kind, 2022)) for kind in ("eq", "ne", "gt", "gte", "lt", "lte")] == [
        "b", "ac", "c", "bc", "a", "ab",
    ]  # fmt: skip
    assert (names(**where("in", ["a", "c"], "by")), names(**where("nin", ["a"], "by"))) == ("ac", "bc")
    assert names(**where("eq", True, "draft")) == "c"
    assert names(**where("eq", 1, "draft")) == ""  # a number is no boolean
    assert (
        names(type="and", filters=[where("gt", 2020), {"type": "or", "filters": [where("lt", 2023)]}]) == "b"
    )
    assert names(**where("eq", 1, "absent")) == ""
    alice.vector_stores.files.update(files[0]["file_id"], vector_store_id=store, attributes={"year": 3000})
    assert names(**where("gt", 2999)) == "a"
    for wrong in ({"type": "near"}, where("gt", [1]), {"type": "and", "filters": []}, where("eq", {})):
        with pytest.raises(openai.BadRequestError, match="filters"):
            names(**wrong)


def test_what_is_deleted_is_not_found(served: Keyed, alice: OpenAI) -> None:
    store, ids = stored(alice, {"a.md": b"zeppelinsecret", "b.md": b"another zeppelinsecret"})
    assert len(list(alice.vector_stores.search(store, query="zeppelinsecret"))) == 2
    alice.vector_stores.files.delete(ids["a.md"], vector_store_id=store)
    alice.files.retrieve(ids["a.md"])  # the upload stays
    assert [each.filename for each in alice.vector_stores.search(store, query="zeppelinsecret")] == ["b.md"]
    alice.files.delete(ids["b.md"])
    assert not list(alice.vector_stores.search(store, query="zeppelinsecret"))
    with pytest.raises(openai.NotFoundError):
        alice.vector_stores.files.retrieve(ids["b.md"], vector_store_id=store)
    assert alice.vector_stores.delete(store).to_dict() == {
        "id": store, "object": "vector_store.deleted", "deleted": True,
    }  # fmt: skip
    assert b"zeppelinsecret" not in (served.folder / "documents.sqlite").read_bytes()
    tool: Any = {"type": "file_search", "vector_store_ids": [store]}
    with pytest.raises(openai.NotFoundError, match="vector store"):
        alice.responses.create(model="", input=QUESTION, tools=[tool])


def test_uploads_in_parts_become_files(alice: OpenAI) -> None:
    data = b"first part, second part"
    upload = alice.uploads.create(
        bytes=len(data), filename="p.txt", mime_type="text/plain", purpose="assistants"
    )
    one = alice.uploads.parts.create(upload.id, data=data[11:])
    two = alice.uploads.parts.create(upload.id, data=data[:11])
    with pytest.raises(openai.APIStatusError) as refused:
        alice.uploads.parts.create(upload.id, data=b"more")
    assert refused.value.status_code == 413
    with pytest.raises(openai.BadRequestError, match="md5"):
        alice.uploads.complete(upload.id, part_ids=[two.id, one.id], md5="0" * 32)
    digest = hashlib.md5(data).hexdigest()
    done = alice.uploads.complete(upload.id, part_ids=[two.id, one.id], md5=digest)
    assert done.status == "completed"
    assert done.file is not None
    assert alice.files.content(done.file.id).content == data
    other = alice.uploads.create(bytes=1, filename="q", mime_type="text/plain", purpose="assistants")
    assert alice.uploads.cancel(other.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="cancelled"):
        alice.uploads.parts.create(other.id, data=b"x")


def test_lists_page_from_both_sides(alice: OpenAI) -> None:
    store, ids = stored(alice, {f"{n}.md": b"x" * n for n in range(1, 6)})
    order = [ids[f"{n}.md"] for n in range(1, 6)]
    listed = alice.vector_stores.files.list(store, order="asc", limit=2)
    assert [each.id for each in listed] == order  # over all pages
    before = alice.vector_stores.files.list(store, order="asc", before=order[3], limit=2)
    assert [each.id for each in before.data] == order[1:3]
    assert not alice.vector_stores.files.list(store, filter="failed").data
    with pytest.raises(openai.BadRequestError, match="filter"):
        alice.vector_stores.files.list(store, filter="lost")  # type: ignore[arg-type]


def test_chunking_and_expiry_are_as_asked(alice: OpenAI) -> None:
    text = " ".join(f"word{n}" for n in range(400)).encode()
    store = alice.vector_stores.create(name="x", expires_after={"anchor": "last_active_at", "days": 2})
    assert store.expires_at == (store.last_active_at or 0) + 2 * 86400
    file = alice.files.create(file=("w.txt", text), purpose="assistants")
    static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}
    added = alice.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, chunking_strategy=static, poll_interval_ms=50
    )
    assert added.chunking_strategy is not None
    assert added.chunking_strategy.to_dict() == static
    chunks = [str(each.text) for each in alice.vector_stores.files.content(file.id, vector_store_id=store.id)]
    assert max(map(len, chunks)) <= 400
    assert {word for chunk in chunks for word in chunk.split()} == set(text.decode().split())
    assert chunks[1].split()[0] in chunks[0].split()
    wrong: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}}
    with pytest.raises(openai.BadRequestError, match="chunk_overlap_tokens"):
        alice.vector_stores.files.create(store.id, file_id=file.id, chunking_strategy=wrong)


def test_a_wrong_entry_is_refused_before_the_turn(alice: OpenAI) -> None:
    store, _ = stored(alice, {"reactor.md": REACTOR})
    for name, wrong in (
        ("max_num_results", 51),
        ("ranking_options", {"score_threshold": 2}),
        ("filters", {}),
    ):
        tool: Any = {"type": "file_search", "vector_store_ids": [store], name: wrong}
        with pytest.raises(openai.BadRequestError, match=name):
            alice.responses.create(model="", input=QUESTION, tools=[tool])
