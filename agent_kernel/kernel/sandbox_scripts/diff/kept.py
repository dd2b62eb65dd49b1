"""Write an archive of the workspace's files as `files.originals` reads it. Runs in the sandbox."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from typing import Dict, Optional, Union

from agent_kernel.kernel.sandbox_scripts.diff.walk import walk
from agent_kernel.kernel.sandbox_scripts.table import limit

MOST_OF_ONE = 1 << 20
"""The largest file in bytes whose content is in the archive; of others it has the digest."""
MOST_OF_ALL = 64 << 20
"""The most bytes of content."""


def main(options: str) -> None:
    """Write the archive. `options` is JSON: `root`, and the archive's `file`, which exists.

    Prints `{"whole": whether all files were looked at}`, or `{"reason": why there is no archive}`.
    """
    limit()
    asked = json.loads(options)
    found = walk(asked["root"])
    try:
        archive_of(asked["root"], found.files, asked["file"])
    except OSError as error:
        print(json.dumps({"reason": "the earlier files could not be read: %s" % (error.strerror or error)}))
        return
    print(json.dumps({"whole": found.whole}))


def archive_of(root: str, files: Dict[str, os.stat_result], target: str) -> None:
    """Write the files, paths below `root`, to the archive `target`. Unreadable ones are left out."""
    index: Dict[str, Dict[str, Union[int, str, None]]] = {}
    left = MOST_OF_ALL
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (path, status) in enumerate(sorted(files.items())):
            if not stat.S_ISREG(status.st_mode):
                continue
            content: Optional[bytes] = None
            try:
                digest, content = _read(os.path.join(root, path), min(MOST_OF_ONE, left))
            except OSError:
                continue
            member = str(number) if content is not None else None
            index[path] = {"size": status.st_size, "digest": digest, "member": member}
            if content is not None:
                left -= len(content)
                archive.writestr(str(number), content)
        archive.writestr("index.json", json.dumps(index))


def _read(path: str, most: int) -> "tuple[str, Optional[bytes]]":
    digest, kept, size = hashlib.sha256(), [], 0
    with open(path, "rb") as file:
        while True:
            piece = file.read(1 << 20)
            if not piece:
                break
            digest.update(piece)
            size += len(piece)
            if size <= most:
                kept.append(piece)
    return digest.hexdigest(), b"".join(kept) if size <= most else None
