"""The encodings of text files, and files that are packed."""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import Any

import pytest

from agent_kernel.kernel.tables.encodings import decode
from agent_kernel.kernel.tables.files import read_file, text_file
from agent_kernel.kernel.tables.preview import NoTable, Preview

GERMAN = "Stadt;Größe\nKöln;5\nMünchen;7\n"
POLISH = "miasto;województwo\nŁódź;łódzkie\nGdańsk;pomorskie\nKraków;małopolskie\nPoznań;wielkopolskie\n"
RUSSIAN = "город;страна\nМосква;Россия\nКазань;Россия\nНовосибирск;Россия\nЕкатеринбург;Россия\n"
JAPANESE = "都市;県\n横浜市;神奈川県\n大阪市;大阪府\nさいたま市;埼玉県\n名古屋市;愛知県\n"
CHINESE = "城市;省份\n广州市;广东省\n成都市;四川省\n武汉市;湖北省\n南京市;江苏省\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *(
            (GERMAN, name)
            for name in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252")
        ),
        ("name,price\nCafé,5 €\n", "cp1252"),
        ("Île;Préfecture\nRéunion;Saint-Denis\n", "latin-1"),
        *((POLISH, name) for name in ("utf-8", "cp1250")),
        *((RUSSIAN, name) for name in ("cp1251", "koi8-r", "utf-16-be")),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (CHINESE, "gb18030"),
    ],
)
def test_text_is_decoded_as_what_it_is(text: str, encoding: str) -> None:
    found = decode(text.encode(encoding), whole=True)
    assert found.text.removeprefix("\ufeff") == text
    assert bool(found.note) == (not encoding.startswith("utf-8"))


def test_cut_inside_a_character_is_no_fault() -> None:
    assert decode("aé".encode()[:-1], whole=False).text == "a"


def test_few_wrong_bytes_leave_the_rest_utf8() -> None:
    found = decode("ä".encode() * 100 + b"\xff", whole=True)
    assert (found.text[:2], found.note) == (
        "ää",
        "1 byte is not UTF-8 and shown as \N{REPLACEMENT CHARACTER}",
    )


def preview(name: str, data: bytes, limit: int = 1_000_000) -> Preview:
    kind = text_file(name)
    assert kind is not None
    return read_file(data, kind, whole=True, limit=limit)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", GERMAN.encode("latin-1")),
        ("a.CSV.gz", gzip.compress(GERMAN.encode())),
        ("a.csv.bz2", bz2.compress(GERMAN.encode("cp1252"))),
        ("x/a.b.tsv.xz", lzma.compress(GERMAN.encode("utf-16"))),
    ],
    ids=["plain", "gzip", "bzip2", "xz"],  # not the bytes: gzip's contain the time
)
def test_files_by_name(name: str, data: bytes) -> None:
    assert [column.name for column in preview(name, data).columns] == ["Stadt", "Größe"]


def test_the_encoding_is_in_the_caption() -> None:
    notes = preview("a.csv", GERMAN.encode("latin-1")).notes
    assert notes == ["read as Windows-1252 (Latin-1) (a guess)", "separated by `;`"]


@pytest.mark.parametrize(("suffix", "module"), [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
@pytest.mark.parametrize("size", [10_000, 5_000_000])
def test_packed_files_are_bounded(suffix: str, module: Any, size: int) -> None:
    found = preview(f"a.csv.{suffix}", module.compress(b"a,b\n" + b"1,2\n" * (size // 4)), limit=100_000)
    assert (found.whole, found.count <= 25_000) == (size < 100_000, True)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.bz2", "a.csv.xz"])
@pytest.mark.parametrize("data", [b"", b"nothing", b"\x1f\x8b\x08"])
def test_broken_packed_files_are_no_tables(name: str, data: bytes) -> None:
    with pytest.raises(NoTable):
        preview(name, data)
