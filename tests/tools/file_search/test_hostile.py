"""Files that are not what they seem, locked, or too much end as failed with a reason, and harm no other."""

from __future__ import annotations

import io

import pypdf
import pytest
from openai import OpenAI

from tests.tools.file_search import made
from tests.tools.file_search.test_served import stored, texts

LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 20}">' for n in range(1, 12))
    + f"]><w:document {made.WORD}><w:p><w:r><w:t>&a11;</w:t></w:r></w:p></w:document>"
)


def pages(count: int, password: str | None = None) -> bytes:
    writer = pypdf.PdfWriter()
    page = pypdf.PdfReader(io.BytesIO(made.pdf("Cranes dance"))).pages[0]
    for _ in range(count):
        writer.add_page(page)
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def repeated(count: int) -> bytes:
    """Return a PDF whose list of pages names one page many times."""
    one = made.pdf("Cranes dance")
    kids = b"/Kids[" + b"3 0 R " * count + b"]/Count %d" % count
    return one.replace(b"/Kids[3 0 R]/Count 1", kids)


BAD = {
    "locked.pdf": (pages(1, "secret"), "password"),
    "laughs.docx": (made.package({"word/document.xml": LAUGHS}), ""),
    "cut.docx": (made.DOCX[:-40], ""),
    "polyglot.pdf": (b"PK\x03\x04 %PDF-1.4 " + bytes(2000), ""),
}


def test_hostile_files_fail_with_a_reason(alice: OpenAI) -> None:
    good = {"good.md": b"The heron hunts.", "text.docx": b"Only named like a document."}
    store, ids = stored(alice, {**{name: content for name, (content, _) in BAD.items()}, **good})
    for name, (_, why) in BAD.items():
        file = alice.vector_stores.files.retrieve(ids[name], vector_store_id=store)
        assert (name, file.status) == (name, "failed")
        assert file.last_error is not None
        assert (name, file.last_error.code) == (name, "invalid_file")
        assert why in file.last_error.message
        assert 10 < len(file.last_error.message) < 300
    assert texts(alice, store, ids["good.md"]) == "The heron hunts."
    assert texts(alice, store, ids["text.docx"]) == "Only named like a document."


@pytest.mark.slow
def test_ten_thousand_pages_are_read(alice: OpenAI) -> None:
    """One page, drawn ten thousand times, so that the file is small."""
    store, ids = stored(alice, {"long.pdf": repeated(10_000), "good.md": b"The heron hunts."})
    text = texts(alice, store, ids["long.pdf"])
    assert "[page 1]" in text
    assert "[page 10000]" in text
    assert texts(alice, store, ids["good.md"]) == "The heron hunts."


def test_the_search_can_be_demanded(alice: OpenAI) -> None:
    store, _ = stored(alice, {"reactor.md": b"The reactor is cooled with liquid sodium."})
    tool = {"type": "file_search", "vector_store_ids": [store]}
    asked = {"input": "How is the reactor cooled?", "tool_choice": {"type": "file_search"}}
    response = alice.responses.create(model="", tools=[tool], **asked)  # type: ignore[call-overload]
    assert response.output[0].type == "file_search_call"
    assert response.tool_choice.type == "file_search"
