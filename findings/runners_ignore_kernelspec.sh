#!/bin/sh
# ploomber-engine 0.0.33, testbook 0.4.2 and treon 0.1.4: a notebook whose kernelspec is not Python's.
#
# Seen on 2026-11-29: all three run a Bash notebook (bash_kernel 0.10.0, which is installed and which nbclient
# 0.11.0 uses for the same file) as Python. ploomber-engine even runs it in the calling process. Code that is
# valid in both languages therefore does something else than its author meant, without a word.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ploomber-engine==0.0.33 testbook==0.4.2 \
  treon==0.1.4 bash_kernel==0.10.0 nbclient==0.11.0 nbformat==5.11.1 nbconvert==7.17.2 ipykernel==7.3.0 setuptools==80.9.0
cd "$folder"
venv/bin/python -m bash_kernel.install --sys-prefix >/dev/null 2>&1
PATH="$folder/venv/bin:$PATH" venv/bin/python - <<'END' 2>/dev/null
import os
import subprocess

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

source = "import sys; open('ran.txt', 'w').write(str(__import__('os').getpid()))"
kernel = {"name": "bash", "language": "bash", "display_name": "Bash"}


def written(code):
    notebook = new_notebook(cells=[new_code_cell(code)], metadata={"kernelspec": kernel})
    nbformat.write(notebook, "in.ipynb")
    return notebook


# The same file in its own kernel: Bash greets.
shell = written("echo $BASH_VERSION")
NotebookClient(shell).execute()
print("nbclient runs Bash:", bool(shell.cells[0].outputs))
assert shell.cells[0].outputs

written(source)  # Python; Bash would fail
from ploomber_engine import execute_notebook

execute_notebook("in.ipynb", "out.ipynb")
here = open("ran.txt").read() == str(os.getpid())
print("ploomber-engine runs Python:", True, "in the calling process:", here)
assert here
os.remove("ran.txt")

from testbook import testbook

with testbook("in.ipynb", execute=True):
    pass
print("testbook runs Python:", os.path.exists("ran.txt"))
os.remove("ran.txt")

done = subprocess.run(["treon", "in.ipynb"], capture_output=True, text=True)
print("treon runs Python:", os.path.exists("ran.txt"), "and calls it:", "passed" if done.returncode == 0 else done.stdout)
assert os.path.exists("ran.txt") and done.returncode == 0
END
