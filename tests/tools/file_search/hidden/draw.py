"""Draws the files of this folder: `python draw.py`, with reportlab, fpdf2, python-docx and Chromium.

A line that says HIDDEN is one that nobody sees in a viewer; every other line is readable.
"""

# mypy: ignore-errors
from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

PAGE = """<!doctype html><style>.dark { background: #103060; color: white; border-radius: 12px; padding: 9px }
</style><h1>Report of Chromium</h1><div class=dark>White heading on blue</div><p>Growth was 7 percent.</p>
<p style="color: white">HIDDEN white</p><p style="font-size: 0.3px">HIDDEN tiny</p>
<p style="opacity: 0">HIDDEN transparent</p>
<p style="position: absolute; left: 100px; top: 400px; background: #eee; color: #eee">HIDDEN grey on grey</p>
<p style="color: #999">Pale note</p>"""


def reportlab() -> None:
    from PIL import Image
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    page = Canvas(str(HERE / "reportlab.pdf"), invariant=1)
    page.drawString(72, 750, "Report of reportlab")
    page.setFillGray(1)
    page.drawString(72, 730, "HIDDEN white")
    page.setFillColorRGB(0.1, 0.2, 0.5)
    page.rect(72, 690, 300, 30, stroke=0, fill=1)
    page.setFillGray(1)
    page.drawString(80, 700, "White heading on blue")
    page.setFillColorRGB(0.1, 0.2, 0.5)
    page.drawString(230, 700, "HIDDEN blue on blue")
    page.setFillGray(0)
    page.drawString(-900, 600, "HIDDEN off the page")
    page.drawString(72, 650, "HIDDEN below a box")
    page.rect(60, 640, 300, 30, stroke=0, fill=1)
    page.saveState()
    page.setFillAlpha(0)
    page.drawString(72, 600, "HIDDEN transparent")
    page.restoreState()
    page.saveState()
    page.scale(0.01, 0.01)
    page.drawString(7200, 58000, "HIDDEN tiny")
    page.restoreState()
    page.setFillColorCMYK(0, 0, 0, 0)
    page.drawString(72, 560, "HIDDEN white in CMYK")
    page.setFillGray(0)
    text = page.beginText(72, 540)
    text.setTextRenderMode(3)
    text.textLine("HIDDEN not painted")
    text.setTextRenderMode(0)
    text.textLine("Growth was 7 percent.")
    page.drawText(text)
    page.beginForm("stamp")
    page.drawString(0, 0, "Stamp of a form")
    page.setFillGray(1)
    page.drawString(0, 20, "HIDDEN white in a form")
    page.endForm()
    page.translate(72, 400)
    page.doForm("stamp")
    page.showPage()
    page.drawImage(ImageReader(Image.new("RGB", (8, 8), (250, 248, 240))), 0, 0, 595, 842)
    scan = page.beginText(72, 700)
    scan.setTextRenderMode(3)
    scan.textLine("Recognised in a scan")
    page.drawText(scan)
    page.save()


def fpdf2() -> None:
    import datetime

    from fpdf import FPDF

    page = FPDF()
    page.set_creation_date(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    page.add_page()
    page.set_font("Helvetica", size=12)
    page.cell(text="Report of fpdf2", new_x="LMARGIN", new_y="NEXT")
    page.set_fill_color(20, 20, 20)
    page.set_text_color(255)
    page.cell(100, 10, "White cell on black", fill=True, new_x="LMARGIN", new_y="NEXT")
    page.cell(100, 10, "HIDDEN white", new_x="LMARGIN", new_y="NEXT")
    page.set_text_color(0)
    page.cell(100, 10, "Growth was 7 percent.", new_x="LMARGIN", new_y="NEXT")
    with page.local_context(text_mode="INVISIBLE"):
        page.cell(100, 10, "HIDDEN not painted", new_x="LMARGIN", new_y="NEXT")
    page.set_font_size(0.4)
    page.cell(100, 10, "HIDDEN tiny")
    page.output(str(HERE / "fpdf2.pdf"))


def chromium() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(PAGE)
        command = [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--print-to-pdf={HERE / 'chromium.pdf'}",
        ]
        subprocess.run([*command, "--no-pdf-header-footer", source.as_uri()], check=True)


def docx() -> None:
    from docx import Document
    from docx.enum.style import WD_STYLE_TYPE
    from docx.shared import Pt, RGBColor

    document = Document()
    document.add_heading("Report of python-docx")
    ghost = document.styles.add_style("Ghost", WD_STYLE_TYPE.CHARACTER)
    ghost.font.hidden = True
    paragraph = document.add_paragraph("Growth was 7 percent. ")
    paragraph.add_run("HIDDEN by a style", style="Ghost")
    for text, change in (
        ("HIDDEN by its run", lambda font: setattr(font, "hidden", True)),
        ("HIDDEN white", lambda font: setattr(font.color, "rgb", RGBColor(255, 255, 255))),
        ("HIDDEN tiny", lambda font: setattr(font, "size", Pt(1))),
    ):
        change(document.add_paragraph().add_run(text).font)
    table = document.add_table(1, 2, style="Medium Grid 3 Accent 1")
    for place in (0, 1):
        run = table.cell(0, place).paragraphs[0].add_run(f"White heading {place}")
        run.font.color.rgb = RGBColor(255, 255, 255)
    document.save(str(HERE / "word.docx"))


if __name__ == "__main__":
    reportlab()
    fpdf2()
    chromium()
    docx()
