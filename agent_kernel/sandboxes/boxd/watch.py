"""What the host is told of a command: its output as there is credit, and its outcome."""

from __future__ import annotations

from . import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .connection import BoxChannel
    from .shell import Job, Shell


class Watch(wire.Handler):
    """Tells the host a job's output from an offset on, and at last its outcome.

    A job has one watch: a newer one takes over, and the older call ends with an error that says so.
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
        """Go on."""
        self._pump()

    def on_cancel(self) -> bool:
        """The host wants the command ended; the outcome is still told."""
        self._shell.abort(self._job, "cancelled")
        return True

    def on_lost(self) -> None:
        """The host is gone, the command goes on: its output is kept as far as the log reaches."""
        self._forget()
        self._shell.throttle(self._job, False)

    def _pump(self) -> None:
        job, channel = self._job, self._channel
        while channel.credit > 0:
            piece = job.log.read(self._offset, min(wire.CHUNK, channel.credit))
            if piece is None:
                break
            channel.data(*piece)
            self._offset += len(piece[1])
        if job.outcome is None:
            self._shell.throttle(job, channel.credit <= 0 and job.log.backlog(self._offset) > wire.WINDOW)
        elif self._offset == job.log.end:
            self._forget()
            channel.result(dict(job.outcome, offset=self._offset))

    def _forget(self) -> None:
        self._job.on_change = self._job.on_taken = lambda: None
