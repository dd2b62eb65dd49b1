"""Small files of each kind that is read in a sandbox, made by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
DRAWING = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'


def package(parts: Mapping[str, str]) -> bytes:
    """Return a package of Office Open XML."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return made.getvalue()


def pdf(text: str, *unseen: str) -> bytes:
    """Return a PDF with one line of text, and lines that no reader sees: white ones, and ones not painted."""
    lines = [f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"]
    for number, line in enumerate(unseen):
        how = "1 1 1 rg" if number % 2 == 0 else "3 Tr"
        lines.append(f"BT {how} /F1 12 Tf 72 {680 - 20 * number} Td ({line}) Tj ET")
    drawn = "\n".join(lines).encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    body, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj" % number + each + b"endobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(body)
    return body + b"xref\n0 6\n0000000000 65535 f \n" + table + end


DOCX = package(
    {
        "word/document.xml": f"<w:document {WORD}><w:body><w:p><w:r><w:t>The heron</w:t></w:r><w:r><w:t"
        ' xml:space="preserve"> hunts at dawn.</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>left'
        "</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>right</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
        "</w:body></w:document>"
    }
)
PPTX = package(
    {
        "ppt/presentation.xml": "<p/>",
        "ppt/slides/slide1.xml": f"<sld {DRAWING}><a:p><a:r><a:t>Otters hold hands.</a:t></a:r></a:p></sld>",
    }
)
XLSX = package(
    {
        "xl/workbook.xml": '<workbook><sheets><sheet name="Rivers"/></sheets></workbook>',
        "xl/sharedStrings.xml": "<sst><si><t>Danube</t></si></sst>",
        "xl/worksheets/sheet1.xml": '<worksheet><sheetData><row><c t="s"><v>0</v></c><c><v>2850</v></c></row>'
        "</sheetData></worksheet>",
    }
)
HTML = (
    b"<!doctype html><html><head><title>Moss</title><style>p{}</style><script>steal()</script></head>"
    b"<body><p>Moss grows <b>slow</b>ly.</p></body></html>"
)
MAIL = (
    b"From: ann@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe ferry leaves at nine.\r\n"
)
NESTED = package({"word/document.xml": "<a>" * 300_000})


def bomb() -> bytes:
    """Return a document that grows to more than is read of one. It takes long to make."""
    return package({"word/document.xml": "<w:document>" + " " * (65 << 20)})
