"""The text of Word, PowerPoint and Excel files. Hidden text of Word is left out and counted."""

from __future__ import annotations

import re
import zipfile
from typing import AbstractSet, Iterable, Iterator, List, Set, Tuple
from xml.etree import ElementTree

from agent_kernel.runtime.vector_stores.inside.word_styles import WordStyles, child, grounds, local
from agent_kernel.runtime.vector_stores.inside.writing import Refused, Writer, letters

PART = 64 << 20


def read_office(path: str, out: Writer) -> None:
    with zipfile.ZipFile(path) as package:
        names = set(package.namelist())
        if "word/document.xml" in names:
            read_document(package, names, out)
        elif "ppt/presentation.xml" in names:
            read_slides(package, names, out)
        elif "xl/workbook.xml" in names:
            read_sheets(package, names, out)
        else:
            raise Refused("unsupported: it is an archive")


def parsed(package: zipfile.ZipFile, name: str) -> ElementTree.Element:
    with package.open(name) as part:
        data = part.read(PART + 1)
    if len(data) > PART:
        raise Refused("invalid: a part of it is too large")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise Refused("invalid: its XML has a document type")
    return ElementTree.fromstring(data)


def paragraphs(root: ElementTree.Element, unseen: AbstractSet[int] = frozenset()) -> Iterator[str]:
    """Yield the text of each paragraph; tables have a line for each row. Nodes in `unseen` are left out."""
    rows = {id(p) for row in root.iter() if local(row) == "tr" for p in row.iter() if local(p) == "p"}
    for node in root.iter():
        if local(node) == "tr":
            yield " | ".join(written(cell, unseen) for cell in node if local(cell) == "tc")
        elif local(node) == "p" and id(node) not in rows:
            yield written(node, unseen)


def written(node: ElementTree.Element, unseen: AbstractSet[int] = frozenset()) -> str:
    found: List[str] = []
    for each in node.iter():
        if local(each) == "t" and id(each) not in unseen:
            found.append(each.text or "")
        elif local(each) in ("tab", "br", "cr"):
            found.append(" ")
    return "".join(found)


def read_document(package: zipfile.ZipFile, names: Set[str], out: Writer) -> None:
    styles = WordStyles(parsed(package, "word/styles.xml") if "word/styles.xml" in names else None)
    parts = ["word/document.xml"]
    parts += sorted(n for n in names if re.fullmatch(r"word/(footnotes|endnotes|comments)\.xml", n))
    hidden = 0
    for part in parts:
        root = parsed(package, part)
        unseen = {id(text): text for text in unseen_texts(root, styles)}
        hidden += sum(letters(text.text or "") for text in unseen.values())
        for line in paragraphs(root, set(unseen)):
            out.write(line + "\n")
    out.left_out(hidden)


def unseen_texts(root: ElementTree.Element, styles: WordStyles) -> Iterator[ElementTree.Element]:
    """Yield the texts that nobody sees."""
    coloured = {id(run) for each in grounds(root) for run in each.iter() if local(run) == "r"}
    everywhere = child(root, "background") is not None
    paragraph_of = {
        id(run): p for p in root.iter() if local(p) == "p" for run in p.iter() if local(run) == "r"
    }
    for run in root.iter():
        if local(run) == "r" and styles.unseen(
            run, paragraph_of.get(id(run)), ground=everywhere or id(run) in coloured
        ):
            yield from (text for text in run.iter() if local(text) == "t")


def numbered(names: Iterable[str], pattern: str) -> List[Tuple[int, str]]:
    found = [
        (int(match.group(1)), name) for name in names for match in [re.fullmatch(pattern, name)] if match
    ]
    return sorted(found)


def read_slides(package: zipfile.ZipFile, names: Set[str], out: Writer) -> None:
    notes = dict(numbered(names, r"ppt/notesSlides/notesSlide(\d{1,5})\.xml"))
    for number, name in numbered(names, r"ppt/slides/slide(\d{1,5})\.xml"):
        out.write("[slide %d]\n" % number)
        for part in [name] + ([notes[number]] if number in notes else []):
            for line in paragraphs(parsed(package, part)):
                out.write(line + "\n")
        out.write("\n")


def read_sheets(package: zipfile.ZipFile, names: Set[str], out: Writer) -> None:
    shared: List[str] = []
    if "xl/sharedStrings.xml" in names:
        root = parsed(package, "xl/sharedStrings.xml")
        shared = [written(node) for node in root if local(node) == "si"]
    titles = [n.get("name") for n in parsed(package, "xl/workbook.xml").iter() if local(n) == "sheet"]
    for place, (_, name) in enumerate(numbered(names, r"xl/worksheets/sheet(\d{1,5})\.xml")):
        out.write("[sheet %s]\n" % (titles[place] if place < len(titles) else place + 1))
        for row in parsed(package, name).iter():
            if local(row) == "row":
                cells = [value_of(cell, shared) for cell in row if local(cell) == "c"]
                out.write(" | ".join(cells) + "\n")
        out.write("\n")


def value_of(cell: ElementTree.Element, shared: List[str]) -> str:
    kind, value = cell.get("t"), next((n.text or "" for n in cell if local(n) == "v"), "")
    if kind == "s":
        return shared[int(value)] if value.isdigit() and int(value) < len(shared) else ""
    return written(cell) if kind == "inlineStr" else value
