"""papermill parameters for this kernel: one `%set NAME=VALUE` line each.

papermill loads `engine` through the entry point `papermill.engine`, which registers the translator. The
engine itself is papermill's.
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


def __getattr__(name: str) -> Any:
    """Register the translator and return papermill's notebook engine for the name `engine`."""
    if name != "engine":
        raise AttributeError(name)
    from papermill.engines import NBClientEngine
    from papermill.translators import papermill_translators

    papermill_translators.register(LANGUAGE, AgentTranslator)  # type: ignore[no-untyped-call, unused-ignore]
    return NBClientEngine
