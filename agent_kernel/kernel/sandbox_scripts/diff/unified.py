"""Write the change of one file as `git diff` does, without git."""

from __future__ import annotations

import time
from difflib import SequenceMatcher
from os import fsencode
from typing import TYPE_CHECKING, List, Optional, Tuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Opcode = Tuple[str, int, int, int, int]

CONTEXT = 3
MATCHED = 3_000
"""The most lines between the common start and end that are matched; more are replaced as one block."""
SECONDS = 8.0

_ESCAPES = {7: b"\\a", 8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r"}
_ESCAPES.update({34: b'\\"', 92: b"\\\\"})
_END = b"\n\\ No newline at end of file\n"


class FileState:
    """A file's bytes and its mode in git: 0o100644, 0o100755 or 0o120000."""

    def __init__(self, data: bytes, mode: int = 0o100644) -> None:
        self.data = data
        self.mode = mode

    @property
    def is_text(self) -> bool:
        """Whether git would call it text."""
        return b"\0" not in self.data[:8000]


class Deadline:
    """The time for matching lines. When it is over, changes are still correct, but not small."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._end = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self._end


class FileDiff:
    """The change of one text file: the lines added and removed, and the patch."""

    def __init__(self, added: int, removed: int, patch: bytes) -> None:
        self.added = added
        self.removed = removed
        self.patch = patch


def file_diff(
    path: str, before: Optional[FileState], after: Optional[FileState], deadline: Deadline
) -> FileDiff:
    """Return the change of the text file `path`. None means that there was, or is, no file."""
    if before is not None and after is not None and before.mode >> 12 != after.mode >> 12:  # file and link
        gone, made = file_diff(path, before, None, deadline), file_diff(path, None, after, deadline)
        return FileDiff(made.added, gone.removed, gone.patch + made.patch)
    old, new = _quoted("a/" + path), _quoted("b/" + path)
    head = [b"diff --git %s %s\n" % (old, new)]
    if before is None and after is not None:
        head.append(b"new file mode %o\n" % after.mode)
    elif after is None and before is not None:
        head.append(b"deleted file mode %o\n" % before.mode)
    elif before is not None and after is not None and before.mode != after.mode:
        head.append(b"old mode %o\nnew mode %o\n" % (before.mode, after.mode))
    old_lines = _lines(before.data if before else b"")
    new_lines = _lines(after.data if after else b"")
    if old_lines != new_lines:
        head.append(b"--- %s\n" % (_named(old) if before else b"/dev/null"))
        head.append(b"+++ %s\n" % (_named(new) if after else b"/dev/null"))
    codes = _opcodes(old_lines, new_lines, deadline)
    changes = [code for code in codes if code[0] != "equal"]
    removed = sum(code[2] - code[1] for code in changes)
    added = sum(code[4] - code[3] for code in changes)
    hunks = [_hunk(group, old_lines, new_lines) for group in _grouped(codes)]
    return FileDiff(added, removed, b"".join(head + hunks))


def _lines(data: bytes) -> List[bytes]:
    """Split at newlines alone: a carriage return belongs to its line."""
    lines = data.split(b"\n")
    last = lines.pop()
    return [line + b"\n" for line in lines] + ([last] if last else [])


def _quoted(path: str) -> bytes:
    """Return a path as git writes it: in quotes, with escapes, if it has anything but plain characters."""
    plain = fsencode(path)
    pieces = [_escape(byte) for byte in plain]
    escaped = b"".join(pieces)
    return escaped if escaped == plain else b'"%s"' % escaped


def _escape(byte: int) -> bytes:
    if byte in _ESCAPES:
        return _ESCAPES[byte]
    return b"\\%03o" % byte if byte < 32 or byte > 126 else bytes([byte])


def _named(path: bytes) -> bytes:
    """Return a path for the lines `---` and `+++`, where a tab ends a name with spaces."""
    return path + b"\t" if b" " in path else path


def _opcodes(old: Sequence[bytes], new: Sequence[bytes], deadline: Deadline) -> List[Opcode]:
    """Return the steps from `old` to `new`. Common lines at both ends cost no search."""
    most = min(len(old), len(new))
    start = 0
    while start < most and old[start] == new[start]:
        start += 1
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    old_end, new_end = len(old) - end, len(new) - end
    codes: List[Opcode] = [("equal", 0, start, 0, start)]
    middle, other = old[start:old_end], new[start:new_end]
    if max(len(middle), len(other)) <= MATCHED and not deadline.passed:
        for name, i1, i2, j1, j2 in SequenceMatcher(None, middle, other).get_opcodes():
            codes.append((name, i1 + start, i2 + start, j1 + start, j2 + start))
    elif middle or other:
        codes.append(("replace", start, old_end, start, new_end))
    codes.append(("equal", old_end, len(old), new_end, len(new)))
    return codes


def _grouped(codes: Sequence[Opcode]) -> Iterator[List[Opcode]]:
    """Yield the steps of each hunk, with the lines around them."""
    group: List[Opcode] = []
    for name, i1, i2, j1, j2 in codes:
        if name != "equal":
            group.append((name, i1, i2, j1, j2))
            continue
        changed = any(code[0] != "equal" for code in group)
        if not changed:
            kept = min(CONTEXT, i2 - i1)
            group = [(name, i2 - kept, i2, j2 - kept, j2)]
        elif i2 - i1 > 2 * CONTEXT:
            group.append((name, i1, i1 + CONTEXT, j1, j1 + CONTEXT))
            yield group
            group = [(name, i2 - CONTEXT, i2, j2 - CONTEXT, j2)]
        else:
            group.append((name, i1, i2, j1, j2))
    if any(code[0] != "equal" for code in group):
        name, i1, i2, j1, j2 = group[-1]
        if name == "equal":
            group[-1] = (name, i1, min(i2, i1 + CONTEXT), j1, min(j2, j1 + CONTEXT))
        yield group


def _hunk(group: Sequence[Opcode], old: Sequence[bytes], new: Sequence[bytes]) -> bytes:
    first, last = group[0], group[-1]
    lines = [b"@@ -%s +%s @@\n" % (_range(first[1], last[2]), _range(first[3], last[4]))]
    for name, i1, i2, j1, j2 in group:
        if name == "equal":
            lines += [_marked(b" ", line) for line in old[i1:i2]]
        else:
            lines += [_marked(b"-", line) for line in old[i1:i2]]
            lines += [_marked(b"+", line) for line in new[j1:j2]]
    return b"".join(lines)


def _range(start: int, end: int) -> bytes:
    count = end - start
    return b"%d,%d" % (start + 1 if count else start, count)


def _marked(mark: bytes, line: bytes) -> bytes:
    return mark + line if line.endswith(b"\n") else mark + line + _END
