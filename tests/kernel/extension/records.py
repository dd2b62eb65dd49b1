"""Notebooks with records that nobody has to run first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agent_kernel.kernel.render.bundles import Bundle
from agent_kernel.kernel.render.items import render_all

CALL = "call_1"


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text}]}


def shell_call(*commands: str) -> dict[str, Any]:
    return {"type": "shell_call", "call_id": CALL, "action": {"commands": [*commands]}}


def shell_output(stdout: str = "", stderr: str = "", exit_code: int = 0) -> dict[str, Any]:
    part = {"stdout": stdout, "stderr": stderr, "outcome": {"type": "exit", "exit_code": exit_code}}
    return {"type": "shell_call_output", "call_id": CALL, "output": [part]}


def code_call(code: str, *displays: dict[str, Any]) -> dict[str, Any]:
    outputs = [{"output_type": "display_data", "data": data, "metadata": {}} for data in displays]
    return {"type": "code_interpreter_call", "id": "ci_1", "code": code, "agent_kernel": {"outputs": outputs}}


def bundles(*items: dict[str, Any], seconds: float | None = None) -> Iterator[Bundle]:
    """The outputs of items; each output of a command and each code took `seconds`."""
    for item in items:
        timed = seconds is not None and item["type"] in ("shell_call_output", "code_interpreter_call")
        yield from render_all(item, seconds=[seconds] if timed else [])


def output(bundle: Bundle) -> dict[str, Any]:
    return {"output_type": "display_data", "data": bundle.data, "metadata": bundle.metadata}


def write_record(
    path: Path,
    cells: Iterable[Iterable[Bundle]],
    more: Iterable[str] = (),
    *,
    kernel: str = "agent",
    **metadata: Any,
) -> None:
    """A notebook whose cells were run, with these outputs, and `more` cells that were not."""
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "execution_count": number + 1,
            "metadata": {},
            "source": f"question {number + 1}",
            "outputs": [output(bundle) for bundle in shown],
        }
        for number, shown in enumerate(cells)
    ]
    fresh: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    made += [{**fresh, "id": f"more-{number}", "source": source} for number, source in enumerate(more)]
    spec = {"name": kernel, "display_name": "Agent", "language": "agent"}
    notebook = {
        "cells": made,
        "metadata": {"kernelspec": spec, **metadata},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook))
