#!/bin/sh
# nbconvert 7.17.2: a link in the output of a command (OSC 8, as `ls --hyperlink`, GCC and systemd print it), and
# xterm's sequence ESC [ > 4 ; 1 m, in a notebook's stream output that is exported as HTML.
#
# Seen on 2026-11-30: the page has the control characters ESC and BEL of the link, which HTML does not allow, and
# the address as text, twice around the word. Of the other sequence "t;4;1m" stays: the text is escaped for HTML
# first, and what is then looked for ends at the letter "g" of "&gt;".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nbconvert==7.17.2 nbformat==5.10.4
cd "$folder"
JUPYTER_PLATFORM_DIRS=1 venv/bin/python - <<'END'
import re

import nbformat
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

LINK = "\x1b]8;;https://example.org/report\x07report\x1b]8;;\x07 is there\n"
KEYS = "\x1b[>4;1mready\n"


def page(text):
    cell = new_code_cell("1", execution_count=1, outputs=[new_output("stream", name="stdout", text=text)])
    notebook = new_notebook(cells=[cell])
    nbformat.validate(notebook)
    html, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    return re.findall("<pre>(.*?)</pre>", html, re.DOTALL)[-1]


link, keys = page(LINK), page(KEYS)
print("link:", repr(link))
print("keys:", repr(keys))
assert link == "\x1b]8;;https://example.org/report\x07report\x1b]8;;\x07 is there\n", repr(link)
assert keys == "t;4;1mready\n", repr(keys)
END
