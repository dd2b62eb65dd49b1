"""The variables by which package tools are configured, for the presets of network policies."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_TOOLS = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|XDG_\w+|NETRC|SSL_CERT_(FILE|DIR)|LD_LIBRARY_PATH|"
    r"PIP_\w+|UV_\w+|VIRTUAL_ENV|PYENV_\w+|(NPM_CONFIG|npm_config)_\w+|NODE_\w+|CONDA\w*|MAMBA_\w+|"
    r"CARGO_\w+|RUSTUP_\w+|GO(PROXY|SUMDB|ENV|ROOT|PATH|FLAGS)|GIT_(CONFIG|SSL)\w*|R_\w+"
)
"""No other variable, so that no key in this process's environment reaches a tool."""


def tool_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that package tools read: their own settings, and where programs and files are."""
    environ = os.environ if environ is None else environ
    return {name: value for name, value in environ.items() if _TOOLS.fullmatch(name)}
