"""Writes the text of a file to another; `main` has the arguments.

Ends with 0, or with 3 and a line that begins with `unsupported: ` or `invalid: `. The file is hostile: it may
take all memory and time of the sandbox, and only that.
"""

from __future__ import annotations

import email
import email.policy
import os
import re
import sys
import zipfile
from email.message import EmailMessage
from typing import List

from agent_kernel.runtime.vector_stores.inside.office import PART, read_office
from agent_kernel.runtime.vector_stores.inside.web_pages import text_of_page
from agent_kernel.runtime.vector_stores.inside.writing import Refused, Writer


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
    seen, hidden = text_of_page(text)
    out.write(seen)
    if hidden:
        out.write("\n\n")
    out.left_out(hidden)


def read_mail(path: str, out: Writer) -> None:
    with open(path, "rb") as file:
        data = file.read(PART)
    for message in messages(data):
        for name in ("From", "To", "Cc", "Date", "Subject"):
            if message.get(name):
                out.write("%s: %s\n" % (name, message[name]))
        out.write("\n")
        hidden = 0
        body = message.get_body(preferencelist=("plain", "html"))
        if body is not None:
            content = str(body.get_content())
            if body.get_content_type() == "text/html":
                content, hidden = text_of_page(content)
            out.write(content)
        for attached in message.iter_attachments():
            out.write("\nAttachment: %s\n" % attached.get_filename())
        out.write("\n\n")
        out.left_out(hidden)


def messages(data: bytes) -> List[EmailMessage]:
    parts = re.split(rb"(?m)^From [^\n]*\n", data) if data.startswith(b"From ") else [data]
    return [email.message_from_bytes(part, policy=email.policy.default) for part in parts if part.strip()]


def read_pdf(path: str, out: Writer) -> None:
    import pypdf

    from agent_kernel.runtime.vector_stores.inside.pdf_pages import visible_text

    with open(path, "rb") as file:
        reader = pypdf.PdfReader(file, strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("invalid: it is encrypted with a password")
        for number, page in enumerate(reader.pages, 1):
            text, hidden = visible_text(page)
            if text.strip() or hidden:
                out.write("[page %d]\n%s\n\n" % (number, text.strip()))
                out.left_out(hidden)


READERS = {"pdf": read_pdf, "office": read_office, "html": read_html, "mail": read_mail}


def main(kind: str, path: str, output: str, limit: str, libraries: str) -> int:
    """Read a file of a kind. `limit` is in bytes; `libraries` is an archive of modules, or empty."""
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
