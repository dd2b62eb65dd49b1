"""Sends a command's output and outcome to the host."""

from __future__ import annotations

from .. import wire
from ..handler import BoxHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..handler import BoxChannel
    from .job import Job
    from .shell import Shell


class Watch(BoxHandler):
    """Sends a job's output from an offset on, as far as there is credit, then its outcome.

    A job has one watch. A newer one takes over, and the older call ends with an error.
    """

    def __init__(self, channel: BoxChannel, shell: Shell, job: Job, offset: int) -> None:
        self._channel = channel
        self._shell = shell
        self._job = job
        self._offset = max(offset, job.log.start)
        job.on_taken()
        job.on_change = self._pump
        job.on_taken = self._taken
        channel.tell({"job": int(job.number), "offset": self._offset})

    def _taken(self) -> None:
        self._channel.error("job", "another host watches this command now")

    def on_credit(self) -> None:
        """Go on sending."""
        self._pump()

    def on_cancel(self) -> bool:
        """End the command. Its outcome is still the answer."""
        self._shell.abort(self._job, "cancelled")
        return True

    def on_lost(self) -> None:
        """Let the command go on without a host. The log keeps the end of its output."""
        self._forget()
        self._job.throttle(False)

    def _pump(self) -> None:
        job, channel = self._job, self._channel
        while room := channel.room:
            piece = job.log.read(self._offset, min(wire.CHUNK, room))
            if piece is None:
                break
            channel.data(*piece)
            self._offset += len(piece[1])
        if job.outcome is None:
            job.throttle(not channel.room and job.log.backlog(self._offset) > wire.WINDOW)
        elif self._offset == job.log.end:
            self._forget()
            channel.result(dict(job.outcome, offset=self._offset))

    def _forget(self) -> None:
        self._job.on_change = self._job.on_taken = lambda: None
