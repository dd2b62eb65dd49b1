"""The live views of one kernel. Loading this module loads the widget libraries, which is slow."""

from __future__ import annotations

from collections import deque

import ipywidgets

from agent_kernel.kernel.live.live import LiveTurn, Steer, Stop

MOST_ENDED = 8
"""Views kept for pages that were reloaded while a turn ran."""


class LiveViews:
    """Opens the views of a kernel, one at a time, and lets go of the oldest that ended on reloaded pages."""

    def __init__(self, stop: Stop, steer: Steer) -> None:
        self._stop = stop
        self._steer = steer
        self._ended: deque[LiveTurn] = deque()

    def open(self) -> LiveTurn:
        """A new view, not yet displayed. Call it from the event loop, with the cell as parent."""
        ipywidgets.register_comm_target()  # ipywidgets does so itself only where there is an IPython shell
        return LiveTurn(stop=self._stop, steer=self._steer, kept=self._kept)

    def _kept(self, view: LiveTurn) -> None:
        self._ended.append(view)
        while len(self._ended) > MOST_ENDED:
            self._ended.popleft().remove()
