"""Reads an operation as JSON from stdin, carries it out whole or not at all, and prints a result as JSON."""

from __future__ import annotations

import json
import os
import stat
import sys

from agent_kernel.tools.apply_patch.inside.v4a import Conflict, created, updated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST = 16 * 1024 * 1024
"""Bytes of a file that can be changed."""


def main(root: str) -> None:
    """Carry out the operation on stdin below the folder `root`."""
    try:
        operation = json.loads(sys.stdin.buffer.read().decode())
        done, said = True, carry_out(root, operation)
    except Conflict as error:
        done, said = False, str(error)
    except OSError as error:
        done, said = False, "{}: {}".format(error.strerror or error, error.filename or "")
    sys.stdout.write(json.dumps({"done": done, "said": said}))
    sys.stdout.flush()


def carry_out(root: str, operation: dict[str, Any]) -> str:
    """Return what was done, as a sentence. Raises `Conflict` and `OSError`; then nothing has changed."""
    operation = unwrapped(operation)
    path, kind = operation["path"], operation["type"]
    place = _inside(root, path)
    if kind == "create_file":
        _must_be_free(place, path)
        text = created(operation["diff"])
        _write(root, place, text, None)
        return f"Created {path} ({_count(text)})."
    status = _regular(place, path)
    if kind == "delete_file":
        os.unlink(place)
        return f"Deleted {path}."
    old = _read(place, path, status)
    try:
        new = updated(old, operation["diff"])
    except Conflict as error:
        raise Conflict(f"The diff does not fit {path}, which is unchanged: {error}") from None
    target = operation.get("move_to")
    if not target or _inside(root, target) == place:
        if new == old:
            raise Conflict(f"The diff changes nothing in {path}.")
        _write(root, place, new, status)
        return f"Updated {path} ({_difference(old, new)})."
    to = _inside(root, target)
    _must_be_free(to, target)
    _write(root, to, new, status)
    try:
        os.unlink(place)
    except OSError:
        os.unlink(to)
        raise
    return f"Moved {path} to {target} ({_difference(old, new)})."


def unwrapped(operation: dict[str, Any]) -> dict[str, Any]:
    """Return the operation without the envelope that models put around a diff: `*** Update File: x`."""
    lines = operation.get("diff", "").replace("\r\n", "\n").split("\n")
    if not lines[0].startswith(("*** Begin Patch", "*** Update File: ", "*** Add File: ")):
        return operation
    heads = [
        line for line in lines if line.startswith(("*** Update File: ", "*** Add File: ", "*** Delete "))
    ]
    if len(heads) != 1 or heads[0].partition(": ")[2].strip() != operation["path"]:
        raise Conflict("Send one call for each file, with the path of that file, and its diff alone.")
    moves = [line[13:].strip() for line in lines if line.startswith("*** Move to: ")]
    ends = ("*** Begin Patch", "*** End Patch", "*** Move to: ", *heads)
    kept = [line for line in lines if not line.startswith(ends)]
    newline = "\r\n" if "\r\n" in operation["diff"] else "\n"
    return dict(operation, diff=newline.join(kept), **({"move_to": moves[0]} if moves else {}))


def _inside(root: str, path: str) -> str:
    """Return a path's place. Folders that are links count where they lead; a link itself is refused."""
    if not path or "\0" in path:
        raise Conflict("The path is not a file's.")
    root = os.path.realpath(root)
    place = os.path.normpath(os.path.join(root, path))
    place = os.path.join(os.path.realpath(os.path.dirname(place)), os.path.basename(place))
    if os.path.commonpath([root, place]) != root or place == root:
        raise Conflict(f"{path} is outside of {root}, where patches apply. Use a command for it.")
    if os.path.islink(place):
        raise Conflict(f"{path} is a link. Patch the file that it leads to: {os.readlink(place)}")
    return place


def _must_be_free(place: str, path: str) -> None:
    if os.path.lexists(place):
        raise Conflict(f"{path} exists already. Update it, or delete it first.")


def _regular(place: str, path: str) -> os.stat_result:
    try:
        status = os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        raise Conflict(f"There is no file {path}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise Conflict(f"{path} is not a regular file.")
    return status


def _read(place: str, path: str, status: os.stat_result) -> str:
    if status.st_size > LARGEST:
        raise Conflict(f"{path} is larger than {LARGEST} bytes. Change it with a command.")
    with open(place, "rb") as file:
        content = file.read(LARGEST + 1)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Conflict(f"{path} is not UTF-8 text. Change it with a command.")
    return text


def _write(root: str, place: str, text: str, like: os.stat_result | None) -> None:
    """Write a file that appears under its name only when it is whole, with the mode and owner of `like`."""
    made = _make_folders(os.path.dirname(place))
    part = f"{place}.patch-{os.getpid()}"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with open(descriptor, "wb") as file:
            if like is not None:
                os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
                if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, like.st_uid, like.st_gid)
            file.write(text.encode())
        os.replace(part, place)
    except BaseException:
        if os.path.lexists(part):
            os.unlink(part)
        for folder in reversed(made):
            os.rmdir(folder)
        raise


def _make_folders(folder: str) -> list[str]:
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    made: list[str] = []
    for each in reversed(missing):
        os.mkdir(each)
        made.append(each)
    return made


def _count(text: str) -> str:
    lines = len(text.splitlines())
    return f"{lines} line{'' if lines == 1 else 's'}"


def _difference(old: str, new: str) -> str:
    import difflib

    before, after = old.splitlines(), new.splitlines()
    if before == after:
        return "line ends" if old != new else "no line changed"
    if len(before) + len(after) > 20000:
        return f"{len(before)} lines, now {len(after)}"
    found = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    removed = sum(end - start for tag, start, end, _, _ in found if tag != "equal")
    added = sum(end - start for tag, _, _, start, end in found if tag != "equal")
    return f"+{added} -{removed}"
