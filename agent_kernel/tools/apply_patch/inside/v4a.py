"""Applies a V4A diff to a text.

The format and its tolerance are those of OpenAI's own applier (`apply_diff` of the Agents SDK), so that a
diff gives the same file everywhere: `@@ line` moves to a line, then come lines that begin with a blank, `-`
or `+`. There are no line numbers. Context is searched exactly first, then without white space at the ends of
lines, then without any white space around them.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Change = tuple[int, int, list[str]]
    """The index of its first line, the count of removed lines, and the new lines."""

_SECTIONS = ("*** End Patch", "*** Update File:", "*** Delete File:", "*** Add File:")
_END_OF_FILE = "*** End of File"
_LONGEST = 500
"""Characters of the diff that an error repeats."""


class Conflict(Exception):
    """The diff is malformed, or does not fit the text. The message is for the model."""


def created(diff: str) -> str:
    """Return the text of a new file from a diff of `+` lines. Raises `Conflict`."""
    found: list[str] = []
    for line in _lines(diff):
        if line.startswith(_SECTIONS):
            break
        if not line.startswith("+"):
            raise Conflict(f"each line of a new file must begin with +, and this one does not: {_cut(line)}")
        found.append(line[1:])
    return _newline(diff).join(found)


def updated(text: str, diff: str) -> str:
    """Return the text with the diff applied. Raises `Conflict`."""
    newline = _newline(text if "\n" in text else diff)
    old = text.replace("\r\n", "\n").split("\n")
    new: list[str] = []
    cursor = 0
    for first, removed, lines in _changes(_lines(diff), old):
        if first < cursor or first > len(old):
            raise Conflict("its changes overlap, or are not in the order of the file")
        new += old[cursor:first]
        new += lines
        cursor = first + removed
    return newline.join(new + old[cursor:])


def _lines(diff: str) -> list[str]:
    lines = [line.rstrip("\r") for line in re.split("\r?\n", diff)]
    if lines[-1] == "":
        lines.pop()
    return lines


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _changes(lines: Sequence[str], old: Sequence[str]) -> list[Change]:
    """Return the changes of all sections, in the order of the diff."""
    changes: list[Change] = []
    place, cursor = 0, 0
    while place < len(lines) and not lines[place].startswith((*_SECTIONS, _END_OF_FILE)):
        anchors, count, place = _anchors(lines, place)
        if not count and cursor:
            raise Conflict(f"this line is neither @@ nor part of a section: {_cut(_at(lines, place))}")
        for number, anchor in enumerate(anchors):
            cursor = _moved(anchor, old, cursor, required=count > 1, forward=number > 0)
        context, section, place, at_end = _section(lines, place)
        first = _found(old, context, cursor, at_end)
        cursor = first + len(context)
        changes += [(first + offset, removed, added) for offset, removed, added in section]
    return changes


def _at(lines: Sequence[str], place: int) -> str:
    return lines[place] if place < len(lines) else ""


def _anchors(lines: Sequence[str], place: int) -> tuple[list[str], int, int]:
    """Read the `@@` lines before a section: those with a text, how many there are, and what follows."""
    anchors: list[str] = []
    count = 0
    while place < len(lines) and (lines[place].startswith("@@ ") or lines[place] == "@@"):
        anchor = lines[place][3:]
        if anchor.strip():
            anchors.append(anchor)
        count, place = count + 1, place + 1
    return anchors, count, place


def _moved(anchor: str, old: Sequence[str], cursor: int, *, required: bool, forward: bool) -> int:
    """Return the place behind the line that an anchor names; `cursor` if it came before or is not there."""
    for same in (_exactly, str.strip):
        wanted = same(anchor)
        if not forward and any(same(line) == wanted for line in old[:cursor]):
            return cursor
        for index in range(cursor, len(old)):
            if same(old[index]) == wanted:
                return index + 1
    if required:
        raise Conflict(f"the file has no such line below line {cursor}: {_cut(anchor)}")
    return cursor


def _section(lines: Sequence[str], place: int) -> tuple[list[str], list[Change], int, bool]:
    """Read a section: its old lines, its changes relative to them, what follows, and if it ends the file."""
    first, removed, mode = place, 0, " "
    context: list[str] = []
    added: list[str] = []
    changes: list[Change] = []
    while place < len(lines) and lines[place] != "***":
        line = lines[place] or " "
        if line.startswith(("@@", *_SECTIONS, _END_OF_FILE)):
            break
        if line.startswith("***") or line[0] not in " +-":
            raise Conflict(f"each line must begin with a blank, + or -, and this one does not: {_cut(line)}")
        if line[0] == " " and mode != " ":
            changes.append((len(context) - removed, removed, added))
            removed, added = 0, []
        place, mode = place + 1, line[0]
        if mode == "+":
            added.append(line[1:])
        else:
            context.append(line[1:])
            removed += mode == "-"
    if removed or added:
        changes.append((len(context) - removed, removed, added))
    if _at(lines, place) == _END_OF_FILE:
        return context, changes, place + 1, True
    if place == first:
        raise Conflict("a section is empty")
    return context, changes, place, False


def _found(old: Sequence[str], context: Sequence[str], cursor: int, at_end: bool) -> int:
    """Return where the old lines of a section are, searched from `cursor` on."""
    places = [(old, cursor)]
    if at_end:
        lines = old[:-1] if old[-1] == "" else old
        places = [(lines, max(0, len(lines) - len(context))), (lines, min(cursor, len(lines)))]
    for lines, start in places:
        if not context:
            return start
        for same in (_exactly, str.rstrip, str.strip):
            place = _search([same(each) for each in lines], [same(each) for each in context], start)
            if place is not None:
                return place
    where = " at its end" if at_end else f" below line {cursor}" if cursor else ""
    wanted = _cut("\n".join(context))
    raise Conflict(
        f"the file does not have these lines{where} (it may have changed; read it again):\n{wanted}"
    )


def _search(lines: Sequence[str], wanted: Sequence[str], start: int) -> int | None:
    for index in range(start, len(lines) - len(wanted) + 1):
        if lines[index] == wanted[0] and lines[index : index + len(wanted)] == wanted:
            return index
    return None


def _exactly(line: str) -> str:
    return line


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
