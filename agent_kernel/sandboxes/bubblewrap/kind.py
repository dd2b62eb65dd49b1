"""The catalogue's row for bubblewrap."""

from __future__ import annotations

import shutil

from agent_kernel.errors import InvalidRequest, PreparationFailed
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.catalogue import BackendKind, BackendOptions, Progress, Wanted
from agent_kernel.sandboxes.toolbox import Toolbox

DESKTOP = ("Xvfb", "openbox", "chromium")
"""The programs of the machine that the tool `computer` needs."""


def make(options: BackendOptions) -> BubblewrapBackend:
    """Return the backend, with its files and its toolbox below the data folder."""
    return BubblewrapBackend(options.data_dir, Toolbox(options.data_dir))


def prepare(options: BackendOptions, wanted: Wanted, progress: Progress) -> str:
    """Prepare the toolbox: Python with libraries. Raises `PreparationFailed`, `InvalidRequest`."""
    if wanted.base or wanted.packages or wanted.named or wanted.dockerfile:
        raise InvalidRequest(
            "bubblewrap sandboxes have the programs of this machine and no image.",
            hint="Build for Docker: --sandbox docker",
        )
    absent = [name for name in DESKTOP if shutil.which(name) is None] if wanted.desktop else []
    if absent:
        raise PreparationFailed(
            f"This machine has no {', '.join(absent)}, and bubblewrap sandboxes have its programs.",
            hint="On Debian: apt-get install --no-install-recommends xvfb openbox chromium",
        )
    toolbox = Toolbox(options.data_dir)
    if not (wanted.if_missing and toolbox.ready()):
        progress("Preparing the embedded sandbox's toolbox (Python with pandas, scipy, matplotlib), once.")
        toolbox.prepare(progress)
    return "The toolbox is ready."


async def answers(_: Backend) -> bool:
    """Return true: bubblewrap needs no engine, and its first sandbox says what is missing."""
    return True


KIND = BackendKind(make, answers, prepare, embedded=True)
