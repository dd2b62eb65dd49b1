"""Restores the workspace of a checkpoint onto a volume, before the first command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def begin_with(kept: str, workspace: str) -> None:
    """Copy the folder `kept` into the workspace if that is empty, and remove `kept`.

    Exits with a message if the files do not fit.
    """
    if not os.listdir(workspace):
        done = subprocess.run(
            ["cp", "-a", os.path.join(kept, "."), workspace], stderr=subprocess.PIPE, check=False
        )
        if done.returncode:
            sys.exit("the checkpoint's files do not fit: %s" % done.stderr.decode(errors="replace")[:300])
    shutil.rmtree(kept)
