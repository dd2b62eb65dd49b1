#!/bin/sh
# jupytext 1.19.6: a notebook whose kernel's language jupytext does not know, as Markdown and back.
#
# Seen on 2026-11-29: written as Markdown or R Markdown, the code cells become fences with the language's name.
# Read again, these fences are text: three cells come back as one Markdown cell, without a warning. The percent
# and MyST formats bring back the same cells. A notebook in a language that jupytext knows survives all four.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jupytext==1.19.6 nbformat==5.11.1
cd "$folder"
venv/bin/python - <<'END'
import jupytext
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def cells(language, format):
    kernel = {"name": language, "language": language, "display_name": language}
    notebook = new_notebook(
        cells=[new_markdown_cell("# Title"), new_code_cell("first"), new_code_cell("second")],
        metadata={"kernelspec": kernel, "language_info": {"name": language, "file_extension": ".txt"}},
    )
    text = jupytext.writes(notebook, fmt=format)
    back = jupytext.reads(text, fmt=format)
    return [(cell.cell_type, cell.source) for cell in back.cells]


whole = [("markdown", "# Title"), ("code", "first"), ("code", "second")]
for format in ("md", "Rmd", "md:myst", "py:percent"):
    known, unknown = cells("python", format), cells("pseudocode", format)
    print(f"{format}: known language {len(known)} cells, unknown language {len(unknown)} cells")
    assert known == whole, known
    if format in ("md", "Rmd"):
        assert [kind for kind, _ in unknown] == ["markdown"], unknown
        assert "pseudocode" in unknown[0][1] and "first" in unknown[0][1], unknown
    else:
        assert unknown == whole, unknown
END
