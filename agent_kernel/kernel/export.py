"""Export a notebook to HTML as the JupyterLab extension shows it: answers first, work folded to one line.

nbconvert finds it by its entry point: `jupyter nbconvert --to agent NOTEBOOK`, and Jupyter's export menu. The
browser unfolds the work without scripts; printed, it stays folded. A notebook whose metadata has
`"agent_kernel": {"show_work": true}` is exported in the order in which the work was done.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_output

from agent_kernel.kernel.preferences import METADATA_KEY, SHOW_WORK
from agent_kernel.kernel.render.bundles import SUMMARY, details
from agent_kernel.kernel.render.stored import ITEM_MIME
from agent_kernel.kernel.render.text import duration

Output = Mapping[str, Any]

_WORK = ("message", "reasoning")


class AgentExporter(HTMLExporter):
    """HTML with each answer first. Takes the options of nbconvert's own HTML exporter."""

    export_from_notebook = "HTML, answers first"

    def from_notebook_node(
        self, nb: NotebookNode, resources: Any = None, **options: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return the page and nbconvert's resources. The notebook stays as it is."""
        page, about = super().from_notebook_node(answers_first(nb), resources, **options)
        return page, about


def answers_first(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of the notebook with the work of each cell folded, unless it asks to show it."""
    made = deepcopy(notebook)
    ours = made.metadata.get(METADATA_KEY)
    if isinstance(ours, Mapping) and ours.get(SHOW_WORK) is True:
        return made
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs = folded(cell.outputs)
    return made


def folded(outputs: Sequence[Output]) -> list[Output]:
    """Return the outputs of a cell with its answer first and its work folded, if it has both."""
    kinds = [_kind(output) for output in outputs]
    answer = max((n for n, kind in enumerate(kinds) if kind == "message"), default=None)
    work = [output for n, output in enumerate(outputs) if n != answer and _is_work(kinds[n])]
    if answer is None or not work:
        return [*outputs]
    rest = [output for n, output in enumerate(outputs) if n != answer and not _is_work(kinds[n])]
    page = details(_words(work), "".join(map(_html, work)))
    line = new_output("display_data", {"text/html": page})  # type: ignore[no-untyped-call]
    return [outputs[answer], line, *rest]


def _kind(output: Output) -> str:
    item = output.get("data", {}).get(ITEM_MIME)
    return str(item.get("type")) if isinstance(item, Mapping) else ""


def _is_work(kind: str) -> bool:
    return kind in _WORK or kind.endswith(("_call", "_call_output"))


def _words(work: Sequence[Output]) -> str:
    """Return what was done and how long it took, as `3 commands, 4 s`."""
    count = sum(_commands(output) for output in work)
    seconds = [value for output in work for value in _seconds(output)]
    done = f"{count:,} command{'' if count == 1 else 's'}" if count else "Reasoning"
    return f"{done}, {duration(sum(seconds))}" if sum(seconds) >= 1 else done


def _commands(output: Output) -> int:
    kind = _kind(output)
    if kind != "shell_call":
        return int(kind.endswith("_call"))
    action = output["data"][ITEM_MIME].get("action")
    commands = action.get("commands") if isinstance(action, Mapping) else None
    return len(commands) if isinstance(commands, list) else 0


def _seconds(output: Output) -> list[float]:
    ours = output.get("metadata", {}).get(METADATA_KEY)
    given = ours.get("seconds") if isinstance(ours, Mapping) else None
    found = given if isinstance(given, list) else []
    return [each for each in found if type(each) in (int, float) and math.isfinite(each) and each >= 0]


def _html(output: Output) -> str:
    """Return the HTML of an output, as a page that nbconvert makes would show it; else its text."""
    data = output["data"]
    if isinstance(data.get("text/html"), str):
        return str(data["text/html"])
    return f'<pre style="{SUMMARY}">{html.escape(str(data.get("text/plain", "")))}</pre>'
