"""The outputs that the example notebooks are saved with."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat

from tests.conftest import CHECKOUT


def read(path: Path) -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the outputs as JSON, pictures included, without their metadata."""
    return [
        json.dumps({name: value for name, value in output.items() if name != "metadata"}, sort_keys=True)
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]


def saved(name: str) -> list[str]:
    return outputs(read(CHECKOUT / "notebooks" / f"{name}.ipynb"))


def assert_equal(ran: list[str], wanted: list[str]) -> None:
    """Compare byte for byte, and say where the first difference lies."""
    for number, (one, other) in enumerate(zip(ran, wanted, strict=True)):
        at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
        assert one == other, f"output {number} differs: {one[max(0, at - 80) : at + 80]!r}"
