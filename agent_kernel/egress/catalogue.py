"""The table of presets. Adding one is one module and one line.

A preset is a function that gets the operator's side (`presets/operator.py`) and returns where its tool
downloads from (`presets/index.py`).
"""

from __future__ import annotations

_PACKAGE = "agent_kernel.egress.presets"
PRESETS = {
    "apt": f"{_PACKAGE}.apt:read",
    "cargo": f"{_PACKAGE}.cargo:read",
    "conda": f"{_PACKAGE}.conda:read",
    "cran": f"{_PACKAGE}.cran:read",
    "git": f"{_PACKAGE}.git:read",
    "go": f"{_PACKAGE}.go:read",
    "npm": f"{_PACKAGE}.npm:read",
    "pip": f"{_PACKAGE}.pip:read",
}
