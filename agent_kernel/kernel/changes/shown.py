"""Show a comparison: a table of the files of each place, and the diffs of its text files. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_kernel.kernel.render.bundles import OUTPUT, Bundle, ShownItem, box, details, pre_html, table
from agent_kernel.kernel.render.patch import OPEN_LINES, coloured_diff
from agent_kernel.kernel.render.text import clean, code, escape, fence, markdown_text

if TYPE_CHECKING:
    from agent_kernel.kernel.changes.comparison import AreaChanges, FileChange

_HEADER = ["file", "change", "lines", ""]


def area_bundle(area: AreaChanges) -> Bundle:
    """Return the changes in one place as a bundle."""
    rows = [[each.path, each.change, _lines(each), each.said] for each in area.changes]
    listed = table(_HEADER, rows, caption(area)) if rows else _text(caption(area))
    left = area.count - len(rows)
    notes = [*([f"{left:,} more files are not listed"] if left > 0 else []), *area.notes]
    diffs = [each for each in area.changes if each.diff]
    opened = sum(each.diff.count("\n") for each in diffs) <= OPEN_LINES
    parts = [listed, *(_diff(each, opened=opened) for each in diffs), *(_text(f"{note}.") for note in notes)]
    return ShownItem(
        html="".join(part.html for part in parts),
        markdown="\n\n".join(part.markdown for part in parts),
        plain="\n".join(part.plain.rstrip("\n") for part in parts),
    ).bundle()


def caption(area: AreaChanges) -> str:
    """Return the place and the comparison as a sentence, in Markdown."""
    count = f"{counted(area.count, 'file')} changed"
    lines = [(each.added or 0, each.removed or 0) for each in area.changes]
    added, removed = (sum(numbers) for numbers in zip(*lines, strict=True)) if lines else (0, 0)
    total = f", {counted(added, 'line')} added, {removed:,} removed" if added or removed else ""
    if area.is_repository:
        return f"{code(area.folder or '/mnt/data')} since {markdown_text(area.base)}: {count}{total}."
    base = markdown_text(area.base) or "this notebook's container began"
    return f"{code('/mnt/data')} since {base}: {count}{total}."


def _lines(change: FileChange) -> str:
    if change.added is None or change.removed is None:
        return ""
    return f"+{change.added} −{change.removed}"


def counted(count: int, what: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def remark(words: str) -> Bundle:
    """Return a sentence from the container as a bundle."""
    return _text(f"{words}.").bundle()


def _text(words: str) -> ShownItem:
    plain = clean(words)
    return ShownItem(f'<div style="font-size: 13px">{escape(plain)}</div>', markdown_text(plain), plain)


def _diff(change: FileChange, *, opened: bool) -> ShownItem:
    body = pre_html(coloured_diff(clean(change.diff).split("\n")))
    name = escape(change.path)
    shown = box(OUTPUT, f"<b>{name}</b>{body}") if opened else details(name, box(OUTPUT, body))
    return ShownItem(
        html=shown,
        markdown=f"{code(change.path)}\n\n{fence(change.diff, 'diff')}",
        plain=f"{clean(change.path)}\n{clean(change.diff)}",
    )
