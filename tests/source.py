"""The syntax trees of the source, each parsed once for all tests of a session."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

Import = ast.Import | ast.ImportFrom


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def import_statements(path: Path) -> tuple[Import, ...]:
    """Return every import statement of a module: at the top, late, or for types only."""
    return tuple(node for node in ast.walk(parsed(path)) if isinstance(node, Import))
