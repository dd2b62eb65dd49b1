"""papermill's parameters for this kernel: `%set NAME=VALUE` lines, one each.

papermill loads `engine` by the entry point `papermill.engine`; that is when the translation becomes known to
it. The engine itself is papermill's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

LANGUAGE = "agent"
"""As the kernel's `language_info` and its kernelspec have it."""

_LINE = re.compile(r"\s*%set\s+([A-Za-z_]\w*)\s*=\s*(.*\S)\s*")


class AgentTranslator:
    """What papermill asks of a translator, by its `Translator`'s names."""

    @classmethod
    def codify(cls, parameters: Mapping[str, Any], comment: str = "Parameters") -> str:
        """The cell that papermill injects. A comment would be a prompt, so there is none."""
        lines = [f"%set {name}={json.dumps(value, default=str)}" for name, value in parameters.items()]
        return "\n".join(lines) + "\n"

    @classmethod
    def inspect(cls, parameters_cell: Mapping[str, Any]) -> list[Any]:
        """The parameters of a cell tagged `parameters`, for `papermill --help-notebook`."""
        from papermill.models import Parameter

        found = [_LINE.fullmatch(line) for line in str(parameters_cell["source"]).splitlines()]
        return [Parameter(match[1], "None", match[2], "") for match in found if match]


def __getattr__(name: str) -> Any:
    """`engine`: papermill's engine for notebooks, once our translation is registered."""
    if name != "engine":
        raise AttributeError(name)
    from papermill.engines import NBClientEngine
    from papermill.translators import papermill_translators

    papermill_translators.register(LANGUAGE, AgentTranslator)  # type: ignore[no-untyped-call, unused-ignore]
    return NBClientEngine
