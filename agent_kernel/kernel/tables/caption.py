"""Describe a table in a line: for the user, and with its columns for the model. Pure."""

from __future__ import annotations

from agent_kernel.kernel.tables.preview import Preview, quoted

MAX_NOTES = 8


def about(preview: Preview) -> str:
    """Return shape and notes, as the user sees them: `3 rows × 2 columns; separated by `;``."""
    parts = [preview.shape, *preview.notes[:MAX_NOTES]]
    return "; ".join(parts)


def for_model(preview: Preview) -> str:
    """Return the same with the columns: `…; columns: name (text), price (float, 2 missing)`."""
    columns = ", ".join(
        f"{quoted(column.name) if column.name else '(no name)'} ({column.words})"
        for column in preview.columns
    )
    rest = preview.width - len(preview.columns)
    more = f" and {rest:,} more" if rest > 0 else ""
    return f"{about(preview)}; columns: {columns}{more}"
