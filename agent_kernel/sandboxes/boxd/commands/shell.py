"""One bash that lives from command to command, and the commands (jobs) given to it.

bash reads its script from a pipe, byte by byte, so a job is two short lines: run the command's text with its
own outputs, then report the status. The state is written down after each job, so a command that ends the
shell (`exit`, `exec`, `set -e`, a signal) ends only itself: the next shell begins where that one stopped.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal

from .. import guard, gvisor, wire
from . import limits, processes
from .state import ShellState, write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..loop import Loop
    from .job import Job

ABORT = signal.SIGRTMIN + 10
"""Asks the shell to write its state down and leave. Commands hardly ever trap this number."""

GRACE = 0.5
KILL_ROUND = 0.002
MAX_PAUSE = 0.1


class Shell:
    """Runs jobs one after the other in one bash."""

    def __init__(self, loop: Loop, run: str, workspace: str, environment: dict[str, str], saved: str) -> None:
        self._loop = loop
        self._run = run
        self._workspace = workspace
        self._state = ShellState(run, saved)
        self.environment = dict(environment, **gvisor.environment())
        self._queue: list[Job] = []
        self._current: Job | None = None
        self._ending = False
        self.limits = limits.Limits(workspace)
        os.mkfifo(self._file("status"), 0o600)
        self._status = os.open(self._file("status"), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        loop.watch(self._status, selectors.EVENT_READ, lambda mask: self._reported())
        self._spawn()

    def _file(self, name: str) -> str:
        return os.path.join(self._run, name)

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return self._current is not None or bool(self._queue)

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._queue.append(job)
        self._next()

    def abort(self, job: Job, reason: str) -> None:
        """End a job and everything that it started. Its outcome is `{reason: true}`. Idempotent."""
        if job in self._queue:
            self._queue.remove(job)
            job.outcome = {reason: True}
            job.on_change()
        elif job is self._current and job.reason is None:
            job.reason = reason
            processes.send(self._pid, signal.SIGSTOP)
            self._kill(job)

    def reset(self) -> None:
        """Begin a fresh shell, with nothing of the old state. A running job is ended."""
        self._state.forget()
        if self._current is not None:
            self.abort(self._current, "cancelled")
        else:
            self._ending = True
            processes.send(self._pid, signal.SIGKILL)

    def directory(self) -> str:
        """Return the shell's working directory, or the workspace if that cannot be read."""
        try:
            return os.readlink("/proc/%d/cwd" % self._pid)
        except OSError:
            return self._workspace

    def _spawn(self) -> None:
        script, self._script = os.pipe()
        prelude = self._state.begin(ABORT, self._current is not None)
        pid = os.fork()
        if pid == 0:
            self._become_bash(script)
        os.close(script)
        self._pid = pid
        self._loop.on_exit(pid, self._ended)
        self._say(". %s 2>/dev/null; __boxd_dump %s.%d" % (prelude, self._file("state"), self._state.turn))

    def _become_bash(self, script: int) -> None:
        try:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(script, 0)
            os.dup2(null, 1)
            os.dup2(null, 2)
            processes.default_signals()
            os.setsid()
            _prefer_for_oom_killer()
            try:
                os.chdir(self._workspace)
            except OSError:
                os.chdir("/")
            os.execvpe("bash", ["bash", "--noprofile", "--norc", "-s"], self.environment)  # noqa: S606
        finally:
            os._exit(127)

    def _say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the shell has just ended: `_ended` follows
            os.write(self._script, line.encode() + b"\n")

    def _next(self) -> None:
        if self._current is not None or self._ending or not self._queue:
            return
        job = self._current = self._queue.pop(0)
        paths = {wire.STDOUT: self._file("out"), wire.STDERR: self._file("err")}
        try:
            write_file(self._file("command"), job.command)
            job.open_outputs(self._loop, paths, self._file("log"))
        except OSError as error:
            self._finish(job, {"error": "cannot start a command: %s" % error.strerror})
            return
        job.since = processes.Moment()
        if job.timeout is not None:
            job.timer = self._loop.after(job.timeout, lambda: self.abort(job, "timed_out"))
        self._state.next_turn()
        self._say(
            '%s=%s;eval "$__boxd_do"\neval "$__boxd_tell"%d'
            % (processes.JOB_VARIABLE, job.number, self._state.turn)
        )

    def _reported(self) -> None:
        try:
            report = os.read(self._status, 4096)
        except BlockingIOError:
            return
        if self._current is None or self._current.reason is not None:
            return
        try:
            code = int(report.split()[-1])
        except (ValueError, IndexError):  # a command wrote into our pipe
            return
        self._finish(self._current, {"exit_code": code})

    def _kill(self, job: Job, pause: float = KILL_ROUND) -> None:
        """Kill in rounds. When only the shell is left, let it write its state down and leave."""
        if job is not self._current:
            return
        if processes.kill_round(job.number, self._pid, job.since):
            self._loop.after(pause, lambda: self._kill(job, min(2 * pause, MAX_PAUSE)))
            return
        job.seal()
        processes.send(self._pid, ABORT)
        processes.send(self._pid, signal.SIGCONT)
        pid = self._pid
        job.grace = self._loop.after(GRACE, lambda: processes.send(pid, signal.SIGKILL))

    def _ended(self, status: int) -> None:
        """The shell has ended, by a command or by `abort`. Begin a new one where it stopped."""
        os.close(self._script)
        job = self._current
        if job is not None and job.grace is not None:
            job.grace.cancel()
        self._begin_again(job, status)

    def _begin_again(self, job: Job | None, status: int, pause: float = KILL_ROUND) -> None:
        if job is None:
            self._spawn()
            self._ending = False
            self._next()
            return
        if job.reason is not None and processes.kill_round(job.number, self._pid, job.since):
            self._loop.after(pause, lambda: self._begin_again(job, status, min(2 * pause, MAX_PAUSE)))
            return
        self._spawn()
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        self._finish(job, {"exit_code": code} if job.reason is None else {job.reason: True})

    def _finish(self, job: Job, outcome: dict[str, Any]) -> None:
        self._current = None
        job.end(outcome)
        if outcome.get("exit_code") != 0:
            outcome["reached"] = self.limits.reached(job.log.tail(limits.SEEN))
        self._next()
        job.on_change()


def _prefer_for_oom_killer() -> None:
    """Let the kernel end a command rather than boxd when memory runs out."""
    guard.reopen()  # or the file would belong to root
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass
