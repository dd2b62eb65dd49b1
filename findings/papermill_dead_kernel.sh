#!/bin/sh
# papermill 2.7.0 with nbclient: a kernel that ends in the middle of a cell.
#
# Seen on 2026-11-29: papermill exits with an error ("Kernel died"), but in the notebook that it saves, the cell
# that was cut short and the cell that never ran both have status "completed" and no exception, and the
# notebook's own "exception" is null. Whoever reads the saved notebook takes it for a finished run.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check papermill==2.7.0 nbclient==0.11.0 ipykernel==7.3.0
cd "$folder"
venv/bin/python - <<'END'
import subprocess, sys
import nbformat
from nbformat.v4 import new_code_cell, new_notebook

kernel = {"name": "python3", "language": "python", "display_name": "Python"}
cells = ["print('one')", "import os; print('two', flush=True); os._exit(3)", "print('three')"]
notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel})
nbformat.write(notebook, "in.ipynb")
done = subprocess.run(
    [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb"], capture_output=True, text=True
)
saved = nbformat.read("out.ipynb", 4)
statuses = [cell.metadata["papermill"]["status"] for cell in saved.cells]
exceptions = [cell.metadata["papermill"]["exception"] for cell in saved.cells]
print("exit status is an error:", done.returncode != 0)
print("the reason is printed:", "Kernel died" in done.stderr)
print("statuses:", statuses)
print("exceptions:", exceptions)
print("the notebook's exception:", saved.metadata["papermill"]["exception"])
assert done.returncode != 0 and "Kernel died" in done.stderr
assert statuses == ["completed", "completed", "completed"], statuses
assert exceptions == [False, False, None], exceptions
assert saved.metadata["papermill"]["exception"] is None
END
