"""A workspace that a checkpoint brought along beside a volume, put in its place before the first command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def begin_with(kept: str, workspace: str) -> None:
    """Fill an empty workspace with the folder `kept`, which is then removed; one with files keeps its own.

    Ends the program with a sentence when it does not fit.
    """
    if not os.listdir(workspace):
        done = subprocess.run(
            ["cp", "-a", os.path.join(kept, "."), workspace], stderr=subprocess.PIPE, check=False
        )
        if done.returncode:
            sys.exit("the checkpoint's files do not fit: %s" % done.stderr.decode(errors="replace")[:300])
    shutil.rmtree(kept)
