#!/bin/sh
# nbconvert 7.17.2: an escaped dollar sign in Markdown loses its backslash, and two of them become a formula.
#
# Seen on 2026-11-29: in a notebook's Markdown, `\$200` is how to write an amount of money where `$…$` is
# mathematics. The HTML exporter writes `$200`, without the backslash, into a page whose MathJax takes `$…$` as
# mathematics, so "from \$200 to \$700" shows "200to" as a formula. MathJax is told to respect escapes
# (processEscapes), but none are left. A dollar sign in code is not touched. The same text keeps its meaning if
# each dollar is written as `<span>$</span>`.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nbconvert==7.17.2 mistune==3.4.0 nbformat==5.10.4
JUPYTER_PLATFORM_DIRS=1 "$folder/venv/bin/python" - <<'END'
import re

from nbconvert import HTMLExporter
from nbformat.v4 import new_markdown_cell, new_notebook

notebook = new_notebook(cells=[new_markdown_cell(r"from \$200 to \$700"), new_markdown_cell("<span>$</span>5")])
page, _ = HTMLExporter().from_notebook_node(notebook)
paragraphs = re.findall(r"<p>(.*?)</p>", page)
mathematics = re.search(r"inlineMath: \[ (\['\$','\$'\])", page)
escapes = "processEscapes: true" in page
print("in the page:", paragraphs)
print("MathJax takes", mathematics and mathematics[1], "as mathematics, respects escapes:", escapes)
assert paragraphs == ["from $200 to $700", "<span>$</span>5"], paragraphs
assert mathematics and escapes
END
