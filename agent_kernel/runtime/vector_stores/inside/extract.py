"""Writes the text of a file to another: `python3 extract.py KIND FILE OUTPUT LIMIT LIBRARIES`.

Ends with 0, or with 3 and a line that begins with `unsupported: ` or `invalid: `. The file is hostile: it may
take all memory and time of the sandbox, and only that.
"""

from __future__ import annotations

import email
import email.policy
import html.parser
import os
import re
import sys
import zipfile
from email.message import EmailMessage
from typing import BinaryIO, Iterable, Iterator, List, Optional, Set, Tuple
from xml.etree import ElementTree

_BLOCKS = (
    "address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4"
    " h5 h6 header hr li main nav ol p pre section table td th tr ul title"
)
BLOCKS = frozenset(_BLOCKS.split())
SKIPPED = frozenset(("script", "style", "template", "noscript", "svg", "math"))
PART = 64 << 20


class Refused(Exception):
    """The text cannot be read. The message says whether the kind or the file is at fault."""


class Writer:
    """Writes text, up to a limit in bytes."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream, self._left = stream, limit

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self._left -= len(data)
        if self._left < 0:
            raise Refused("invalid: its text is too long")
        self._stream.write(data)


class VisibleText(html.parser.HTMLParser):
    """The text of an HTML page that a reader sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: List[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        if tag in SKIPPED:
            self._skipped += 1
        elif tag in BLOCKS:
            self.text.append("\n")

    def handle_startendtag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        if tag in BLOCKS:
            self.text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in SKIPPED:
            self._skipped = max(0, self._skipped - 1)
        elif tag in BLOCKS:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.text.append(data)


def text_of_page(text: str) -> str:
    page = VisibleText()
    page.feed(text)
    page.close()
    lines = [" ".join(line.split()) for line in "".join(page.text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def read_html(path: str, out: Writer) -> None:
    with open(path, "rb") as file:
        data = file.read(PART)
    named = re.search(rb"charset=[\"']?([\w.:-]+)", data[:4096], re.I)
    for encoding in ("utf-8", named.group(1).decode("ascii", "replace") if named else "cp1252", "cp1252"):
        try:
            text = data.decode(encoding, "strict" if encoding != "cp1252" else "replace")
            break
        except (UnicodeError, LookupError):
            continue
    out.write(text_of_page(text))


def read_mail(path: str, out: Writer) -> None:
    with open(path, "rb") as file:
        data = file.read(PART)
    for message in messages(data):
        for name in ("From", "To", "Cc", "Date", "Subject"):
            if message.get(name):
                out.write("%s: %s\n" % (name, message[name]))
        out.write("\n")
        body = message.get_body(preferencelist=("plain", "html"))
        if body is not None:
            content = str(body.get_content())
            out.write(text_of_page(content) if body.get_content_type() == "text/html" else content)
        for attached in message.iter_attachments():
            out.write("\nAttachment: %s\n" % attached.get_filename())
        out.write("\n\n")


def messages(data: bytes) -> List[EmailMessage]:
    parts = re.split(rb"(?m)^From [^\n]*\n", data) if data.startswith(b"From ") else [data]
    return [email.message_from_bytes(part, policy=email.policy.default) for part in parts if part.strip()]


def read_pdf(path: str, out: Writer) -> None:
    import pypdf

    with open(path, "rb") as file:
        reader = pypdf.PdfReader(file, strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("invalid: it is encrypted with a password")
        for number, page in enumerate(reader.pages, 1):
            text = page.extract_text() or ""
            if text.strip():
                out.write("[page %d]\n%s\n\n" % (number, text))


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


def local(node: ElementTree.Element) -> str:
    return str(node.tag).rpartition("}")[2]


def paragraphs(root: ElementTree.Element, paragraph: str = "p") -> Iterator[str]:
    """Yield the text of each paragraph; tables have a line for each row."""
    rows = {id(p) for row in root.iter() if local(row) == "tr" for p in row.iter() if local(p) == paragraph}
    for node in root.iter():
        if local(node) == "tr":
            cells = [written(cell) for cell in node if local(cell) == "tc"]
            yield " | ".join(cells)
        elif local(node) == paragraph and id(node) not in rows:
            yield written(node)


def written(node: ElementTree.Element) -> str:
    found: List[str] = []
    for each in node.iter():
        if local(each) == "t":
            found.append(each.text or "")
        elif local(each) in ("tab", "br", "cr"):
            found.append(" ")
    return "".join(found)


def read_document(package: zipfile.ZipFile, names: Set[str], out: Writer) -> None:
    parts = ["word/document.xml"]
    parts += sorted(n for n in names if re.fullmatch(r"word/(footnotes|endnotes|comments)\.xml", n))
    for part in parts:
        for line in paragraphs(parsed(package, part)):
            out.write(line + "\n")


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


READERS = {"pdf": read_pdf, "office": read_office, "html": read_html, "mail": read_mail}


def main(kind: str, path: str, output: str, limit: str, libraries: str) -> int:
    if libraries:
        folder = libraries + ".unpacked"  # where Python keeps what it compiles of them
        if not os.path.isdir(folder):
            with zipfile.ZipFile(libraries) as archive:
                archive.extractall(folder)
        sys.path.insert(0, folder)
    sys.setrecursionlimit(3000)
    try:
        with open(output, "wb") as stream:
            READERS[kind](path, Writer(stream, int(limit)))
    except Refused as error:
        print(error)
    except MemoryError:
        print("invalid: it takes too much memory to read")
    except Exception as error:
        print("invalid: it is damaged (%s)" % type(error).__name__)
    else:
        return 0
    os.unlink(output)
    return 3


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
