"""papermill with this kernel: parameters, one `%set NAME=VALUE` line each, and an engine.

papermill loads `engine` through the entry point `papermill.engine`, which registers the translator.
`papermill --engine agent` runs a notebook with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

LANGUAGE = "agent"
"""The language name, as in the kernel's `language_info` and kernelspec."""

_LINE = re.compile(r"\s*%set\s+([A-Za-z_]\w*)\s*=\s*(.*\S)\s*")


class AgentTranslator:
    """A papermill translator: implements the methods of papermill's `Translator`."""

    @classmethod
    def codify(cls, parameters: Mapping[str, Any], comment: str = "Parameters") -> str:
        """Return the cell that papermill injects. `comment` is left out: it would be a prompt."""
        lines = [f"%set {name}={json.dumps(value, default=str)}" for name, value in parameters.items()]
        return "\n".join(lines) + "\n"

    @classmethod
    def inspect(cls, parameters_cell: Mapping[str, Any]) -> list[Any]:
        """Return the parameters of a cell tagged `parameters`, for `papermill --help-notebook`."""
        from papermill.models import Parameter

        found = [_LINE.fullmatch(line) for line in str(parameters_cell["source"]).splitlines()]
        return [Parameter(match[1], "None", match[2], "") for match in found if match]


def _mark_failed(run: Any, error: BaseException) -> None:
    """Mark the cell that ran last as failed, with the error as its output, in a papermill run's notebook.

    Without a cell that ran, the first one is marked. papermill leaves the cells after it `pending`, and
    saves the notebook.
    """
    cells = [cell for cell in run.nb.cells if cell.metadata.papermill.get("start_time")] or run.nb.cells[:1]
    if not cells:
        return
    failed = cells[-1]
    reason = str(error) or "The run was interrupted."
    if failed.cell_type == "code":
        output = {"ename": type(error).__name__, "evalue": reason, "traceback": [reason]}
        failed.outputs.append(type(failed)(output_type="error", **output))
    run.cell_exception(failed, cell_index=run.nb.cells.index(failed), exception=error)


def _engine() -> Any:
    """Return papermill's notebook engine, extended to mark the cell in which a run ended.

    papermill itself marks a cell only if its code failed. If the kernel dies, a time limit is reached or the
    run is interrupted, it saves the cut cell and all later ones as `completed`.
    """
    from papermill.engines import NBClientEngine

    class AgentEngine(NBClientEngine):  # type: ignore[misc, unused-ignore]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, *names: Any, **options: Any) -> Any:
            try:
                return super().execute_managed_notebook(nb_man, *names, **options)  # type: ignore[no-untyped-call, unused-ignore]
            except BaseException as error:
                _mark_failed(nb_man, error)
                raise

    return AgentEngine


def __getattr__(name: str) -> Any:
    """Register the translator and return the engine for the name `engine`."""
    if name != "engine":
        raise AttributeError(name)
    from papermill.translators import papermill_translators

    papermill_translators.register(LANGUAGE, AgentTranslator)  # type: ignore[no-untyped-call, unused-ignore]
    return _engine()
