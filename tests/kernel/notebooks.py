"""Notebooks for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_notebook(path: Path, cells: list[str], *, kernel: str = "agent") -> None:
    """A notebook with these cells for the Agent kernel."""
    nothing: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    notebook = {
        "cells": [nothing | {"id": f"cell-{number}", "source": cell} for number, cell in enumerate(cells)],
        "metadata": {"kernelspec": {"name": kernel, "display_name": "Agent", "language": "agent"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook))
