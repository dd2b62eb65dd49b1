"""The live views of one kernel. Loading this module loads the widget libraries, which is slow."""

from __future__ import annotations

from collections import deque

import ipywidgets

from agent_kernel.kernel.live.desktop import Watch
from agent_kernel.kernel.live.live import LiveTurn, Steer, Stop

MOST_ENDED = 8
"""The number of ended views kept for pages that were reloaded while a turn ran."""


class LiveViews:
    """Opens a kernel's views, one at a time, and drops the oldest ended views kept for reloaded pages."""

    def __init__(self, stop: Stop, steer: Steer, watch: Watch) -> None:
        self._stop = stop
        self._steer = steer
        self._watch = watch
        self._ended: deque[LiveTurn] = deque()

    def open(self) -> LiveTurn:
        """Open a view, not yet displayed. Call it from the event loop, with the cell as parent message."""
        ipywidgets.register_comm_target()  # ipywidgets does this itself only inside an IPython shell
        return LiveTurn(stop=self._stop, steer=self._steer, kept=self._kept, watch=self._watch)

    def _kept(self, view: LiveTurn) -> None:
        self._ended.append(view)
        while len(self._ended) > MOST_ENDED:
            self._ended.popleft().remove()
