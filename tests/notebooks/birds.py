"""A small notebook with its data and the script of its model, to be recorded and replayed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = """
turns:
  - when: Weigh the birds
    do:
      - shell: awk -F, 'NR > 1 {s += $2} END {print "birds", NR - 1; print "mean", s / (NR - 1)}' birds.csv
      - say: "They weigh {mean} g on average."
        quote: {mean: 'mean (\\S+)'}
"""
BIRDS = "name,grams\nA,4000\nB,4100\n"
HEAVIER = BIRDS.replace("4100", "4300")


def notebook_in(folder: Path) -> Path:
    folder.mkdir()
    (folder / "birds.csv").write_text(BIRDS)
    (folder / "birds-script.yaml").write_text(SCRIPT)
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"cell-{number}", "source": source, "metadata": {}, "outputs": []}
        for number, source in enumerate(["%upload birds.csv", "Weigh the birds"])
    ]
    for cell in cells:
        cell["execution_count"] = None
    metadata = {"kernelspec": {"name": "agent", "display_name": "Agent", "language": "agent"}}
    path = folder / "birds.ipynb"
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(whole))
    return path


def record(path: Path) -> subprocess.CompletedProcess[str]:
    """Record the notebook with its script, and save it with its outputs."""
    model = ["--model", f"scripted/{path.with_name('birds-script.yaml')}"]
    command = [sys.executable, "-m", "agent_kernel", "record", "--save", str(path), *model]
    return subprocess.run(command, capture_output=True, text=True, check=False)
