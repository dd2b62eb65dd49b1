"""Print what changed in the workspace as JSON. Runs in the sandbox.

    {"areas": [{"folder", "kind": "repository" or "files", "base", "changes": [...], "count", "notes"}, ...],
     "notes": [text, ...], "patch": {"folder", "bytes", "files"} or null}

or `{"reason": why it cannot be compared}`. `change.Change.json` has the fields of a change.
"""

from __future__ import annotations

import json
import os
from typing import List, Optional, Tuple

from agent_kernel.kernel.sandbox_scripts.diff.change import Area, Json
from agent_kernel.kernel.sandbox_scripts.diff.files import Comparison, originals
from agent_kernel.kernel.sandbox_scripts.diff.git import NotCompared
from agent_kernel.kernel.sandbox_scripts.diff.repositories import repository
from agent_kernel.kernel.sandbox_scripts.diff.walk import Workspace, below, walk
from agent_kernel.kernel.sandbox_scripts.table import limit

MOST_PRINTED = 45_000
"""Characters of the answer: a command's output has a limit, and half an answer is useless."""

Result = Tuple[Area, bytes]


def main(options: str) -> None:
    """Print the changes. `options` is JSON: see `compared`."""
    limit()
    print(answer(json.loads(options)))


def answer(options: Json) -> str:
    """Return the changes, or the reason why there are none, as JSON of bounded length."""
    try:
        found = compared(options)
    except NotCompared as error:
        found = {"reason": str(error)[:300]}
    text = json.dumps(found)
    while len(text) > MOST_PRINTED and _shorten(found):
        text = json.dumps(found)
    return text


def compared(options: Json) -> Json:
    """Compare the workspace, and write the patch if `options` name a file for it.

    `options` has `root`, `folder` (compare only this), `since` (a commit or null), `before` (an archive of
    the files from before, or null), `began` (null, or the time in seconds before which a file counts as there
    before) and `patch` (a file to write, or null). `repositories` false leaves them out.
    Raises `NotCompared`.
    """
    root, folder = options["root"], options["folder"]
    found = walk(root)
    wanted = options.get("repositories", True)
    results, notes = _repositories(root, folder, options["since"], found) if wanted else ([], [])
    if options["since"] is None:
        results += _others(options, found)
    elif not results and not notes:
        raise NotCompared("there is no repository%s" % (" in " + folder if folder else ""))
    if not found.whole:
        notes.append("There are too many files: the rest was not looked at")
    results = [result for result in results if result[0].count or result[0].notes]
    if not results and folder and not os.path.lexists(os.path.join(root, folder)):
        raise NotCompared("there is no %s in the container" % folder)
    patch = _write(results, options["patch"]) if options["patch"] else None
    return {"areas": [area.json() for area, _ in results], "notes": notes, "patch": patch}


def _repositories(
    root: str, folder: str, since: Optional[str], found: Workspace
) -> Tuple[List[Result], List[str]]:
    results, notes = [], []
    for name in found.repositories:
        inside = ""
        if not below(name, folder):
            if not below(folder, name):
                continue
            inside = os.path.relpath(folder, name or ".")
            if any(below(folder, other) and len(other) > len(name) for other in found.repositories):
                continue  # the folder belongs to a repository in this one
        try:
            results.append(repository(root, name, inside, since))
        except NotCompared as error:
            notes.append("%s was not compared: %s" % (name or "The repository", error))
    return results, notes


def _others(options: Json, found: Workspace) -> List[Result]:
    """Compare the files outside of repositories."""

    def ours(path: str) -> bool:
        inside = any(below(path, name) for name in found.repositories)
        return not inside and below(path, options["folder"])

    before = {path: each for path, each in originals(options["before"]).items() if ours(path)}
    now = {path: status for path, status in found.files.items() if ours(path)}
    comparison = Comparison(options["root"])
    began = options["began"]
    if began is not None:  # nobody can set this time of a file, not even a program that unpacks an archive
        now = {path: status for path, status in now.items() if path in before or status.st_ctime >= began}
        comparison.area.notes.append("On a volume, files that were removed are not seen")
    comparison.run(before, now)
    kinds = ["%d × %s" % (count, kind) for kind, count in sorted(found.skipped.items()) if count]
    if kinds and comparison.area.count and not options["folder"]:
        comparison.area.notes.append("Not compared: %s" % ", ".join(kinds))
    return [(comparison.area, comparison.patch)]


def _write(results: List[Result], path: str) -> Json:
    """Write the patch of the only place with changes; repositories come before other files."""
    repositories = [result for result in results if result[0].kind == "repository" and result[1]]
    others = [result for result in results if result[0].kind == "files" and result[1]]
    chosen = repositories or others
    if not chosen:
        raise NotCompared("nothing has changed that a patch could have")
    if len(chosen) > 1:
        names = ", ".join(area.folder or "." for area, _ in chosen)
        raise NotCompared("several repositories have changes (%s); name one" % names)
    area, patch = chosen[0]
    with open(path, "wb") as file:
        file.write(patch)
    elsewhere = sum(other.count for other, _ in results if other is not area)
    return {"folder": area.folder, "bytes": len(patch), "files": area.count, "elsewhere": elsewhere}


def _shorten(found: Json) -> bool:
    """Remove the longest diff, or else the last changes. Return whether there was something to remove."""
    changes = [change for area in found.get("areas", ()) for change in area["changes"]]
    longest = max(changes, key=lambda change: len(change["diff"]), default=None)
    if longest is None:
        return False
    if longest["diff"]:
        longest["diff"] = ""
        longest["said"] = longest["said"] or "too long to show"
        return True
    area = max(found["areas"], key=lambda each: len(each["changes"]))
    del area["changes"][len(area["changes"]) // 2 :]
    return True
