"""Text that a reader does not see is left out of files, and the model reads that it was.

`hidden/` has files of real producers: reportlab, fpdf2, Chromium and python-docx; `hidden/draw.py` made them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from openai import OpenAI

from tests.tools.file_search import made
from tests.tools.file_search.test_served import stored, texts

pytestmark = pytest.mark.bubblewrap

FOLDER = Path(__file__).parent / "hidden"

PAGE = b"""<!doctype html><style>.gone { display: none } #pale, .dark p { color: white }
.dark { background: #103060 } .white { color: #fff }</style><body>
<h1>Report of a page</h1><div class=dark><span class=white>White heading on blue</span></div>
<p>Growth was 7 percent.<p hidden>HIDDEN by attribute<p>Seen again.
<ul><li style="display:none">HIDDEN item<li>Second item</ul>
<div class="a gone">HIDDEN <b>by</b> a class<br>HIDDEN too</div><div style="font-size:0">HIDDEN tiny</div>
<p id=pale>HIDDEN white</p><div style="opacity:0"><p>HIDDEN inside</p></div>Last words."""

MAIL = b"""From: ann@example.org\r
Subject: hello\r
MIME-Version: 1.0\r
Content-Type: text/html; charset=utf-8\r
\r
<p>The ferry leaves at nine.</p><p style="display:none">HIDDEN in mail</p>"""


def test_hidden_text_is_left_out(alice: OpenAI) -> None:
    files = {each.name: each.read_bytes() for each in FOLDER.iterdir() if each.suffix in (".pdf", ".docx")}
    files |= {
        "page.html": PAGE,
        "mail.eml": MAIL,
        "by_hand.pdf": made.pdf("Seen.", "HIDDEN one", "HIDDEN two"),
    }
    assert len(files) == 7
    store, ids = stored(alice, files)
    found = {name: texts(alice, store, file_id) for name, file_id in ids.items()}
    assert not [name for name, text in found.items() if "HIDDEN" in text or "left out.]" not in text]
    seen = [name for name, text in found.items() if "Growth was 7 percent." in text]
    assert sorted(seen) == ["chromium.pdf", "fpdf2.pdf", "page.html", "reportlab.pdf", "word.docx"]
    assert (
        found["by_hand.pdf"] == "[page 1]\nSeen.\n\n[18 characters that a reader does not see were left out.]"
    )
    for name in ("reportlab.pdf", "chromium.pdf", "page.html"):
        assert "White heading on blue" in found[name]
    assert "White cell on black" in found["fpdf2.pdf"]
    assert "White heading 0 | White heading 1" in found["word.docx"]
    assert "Pale note" in found["chromium.pdf"]
    assert "Stamp of a form" in found["reportlab.pdf"]
    assert "[page 2]\nRecognised in a scan" in found["reportlab.pdf"]
    for line in ("Seen again.", "Second item", "Last words."):
        assert line in found["page.html"]
    assert "The ferry leaves at nine." in found["mail.eml"]
