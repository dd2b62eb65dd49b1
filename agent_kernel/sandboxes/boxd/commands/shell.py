"""One bash that lives from command to command, and the commands (jobs) given to it.

bash reads its script from a pipe, and a job is one line of it: run the command's text with its own outputs,
report the exit code, save the state. The state is saved after each job, so a command that ends the shell
(`exit`, `exec`, `set -e`, a signal) ends only itself: the next shell begins where that one stopped. A shell
that has read the line but has not reported gets a second line that removes what may be in the way. If it does
not report then either, its script is ended, and the exit code is the shell's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time

from .. import guard, gvisor
from . import limits, processes, script
from .outputs import Outputs
from .pipe import ScriptPipe
from .plain import read_file, write_file
from .reports import Reports
from .state import ShellState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..loop import Loop, Timer
    from .job import Job

ABORT = signal.SIGRTMIN + 10
"""Asks the shell to write its state down and leave. Commands hardly ever trap this number."""

MOST_FAILURES = 2
"""A shell that ends this often before it is ready has a state that no shell can begin with.

After twice as many, no shell can begin at all, so boxd ends.
"""

BROKEN = (errno.EMFILE, errno.EFBIG, errno.ENOMEM)
"""Errors that say that a command has set limits on boxd itself. It cannot work any more, so it ends."""

NONCE = 6
"""Bytes of the secret that marks the reports of one line. A command has no time to guess it."""

GRACE = 0.5
KILL_ROUND = 0.002
MAX_PAUSE = 0.1


class Shell:
    """Runs jobs one after the other in one bash."""

    def __init__(self, loop: Loop, run: str, workspace: str, environment: dict[str, str], saved: str) -> None:
        self._loop = loop
        self.run = run
        self.workspace = workspace
        self._state = ShellState(run, saved)
        self.environment = dict(environment, **gvisor.environment())
        self._changes = ""  # of variables, for the present bash
        self._queue: list[Job] = []
        self._current: Job | None = None
        self.on_end: Callable[[], None] = lambda: None
        self.on_kill: Callable[[], None] = lambda: None
        self._ready = self._away = False
        self._waiting: list[Callable[[], None]] = []
        self._grace: Timer | None = None
        self._failures = 0
        self._tries = 0
        self._nonce = ""
        self._traps = b""
        self.began = time.time()  # the last command, or this shell
        self._reports = Reports(loop, self._file("status"), self._reported)
        self._outputs = Outputs(loop, run)
        self.limits = limits.Limits(workspace)
        self._spawn()

    def _file(self, name: str) -> str:
        return os.path.join(self.run, name)

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return self._current is not None or bool(self._queue)

    @property
    def pid(self) -> int:
        """The pid of the present bash."""
        return self._pid

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
            pid = self._pid
            processes.send(pid, signal.SIGSTOP)
            self._reports.read()  # its end may have been reported since boxd last looked
            if job is not self._current:
                processes.send(pid, signal.SIGCONT)
                return
            job.reason = reason
            self._kill(job)

    def reset(self) -> None:
        """Begin a fresh shell, with nothing of the old state. A running job is ended."""
        self._state.forget()
        self._traps = b""
        if self._current is not None:
            self.abort(self._current, "cancelled")
        else:
            self._ready = False
            self._nonce = ""  # it may just be reporting
            processes.send(self._pid, signal.SIGKILL)

    def leave(self) -> None:
        """Begin no shell when this one is killed; its pid is 0 then. Commands wait for `begin_anew`."""
        self._away = True
        self._ready = False
        self._nonce = ""

    def begin_anew(self) -> None:
        """Begin a shell with the saved state, as the first one did, after `leave`."""
        self._away = False
        self._state.begin_anew()
        self._traps, self._changes, self._failures = b"", "", 0
        self.began = time.time()
        self._spawn()

    def change_variables(self, changes: dict[str, str | None]) -> None:
        """Set variables, or remove those that are None: for the next command, and for every later shell."""
        for name, value in changes.items():
            if value is None:
                self.environment.pop(name, None)
            else:
                self.environment[name] = value
        self._changes += script.changes(changes)

    def come_along(self) -> None:
        """Let the shell go to its directory anew if another file system was mounted there meanwhile."""
        cwd = "/proc/%d/cwd" % self._pid
        with contextlib.suppress(OSError):
            if os.path.samefile(cwd, os.readlink(cwd)):
                return
        self._changes += script.COME_ALONG

    def when_ready(self, action: Callable[[], None]) -> None:
        """Call `action` before the next command begins: at once if the shell is ready or runs another."""
        if self._ready or self._current is not None:
            action()
        else:
            self._waiting.append(action)

    def directory(self) -> str:
        """Return the shell's working directory, or the workspace if that cannot be read."""
        try:
            return os.readlink("/proc/%d/cwd" % self._pid)
        except OSError:
            return self.workspace

    def _spawn(self) -> None:
        """Begin a bash with the last state. It is ready when it has saved that again."""
        self._reports.open()
        self._state.make_way()
        self._ready = False
        self._script = pipe = ScriptPipe(self._loop, self._unreported)
        prelude = self._state.begin(ABORT, self._current is not None)
        self._pid = os.fork()
        if self._pid == 0:
            self._become_bash(pipe.reader)
        os.close(pipe.reader)
        self._loop.on_exit(self._pid, self._ended)
        self._nonce = os.urandom(NONCE).hex()
        pipe.say(script.first_line(prelude, self._state.turn, self._nonce))

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
                os.chdir(self.workspace)
            except OSError:
                os.chdir("/")
            os.execvpe("bash", ["bash", "--noprofile", "--norc", "-s"], self.environment)  # noqa: S606
        finally:
            os._exit(127)

    def _next(self) -> None:
        if self._current is not None or not self._ready or not self._queue:
            return
        job = self._current = self._queue.pop(0)
        try:
            self._reports.open()
            write_file(self._file("command"), script.command_file(job.command, self._traps, self.run))
            job.open_outputs(self._loop, self._outputs, self._file("log"))
        except OSError as error:
            if error.errno in BROKEN:
                self._loop.stop()
            self._finish(job, {"error": "cannot start a command: %s" % error.strerror})
            return
        job.since = processes.Moment()
        self.began = time.time()
        if job.timeout is not None:
            job.timer = self._loop.after(job.timeout, lambda: self.abort(job, "timed_out"))
        self._state.next_turn()
        self._ready = False
        self._tries = 0
        self._nonce = os.urandom(NONCE).hex()
        changes, self._changes = self._changes, ""
        self._script.say(changes + script.command_line(job.number, self._state.turn, self._nonce))

    def _reported(self, report: bytes) -> None:
        """Take a report of the present line. Anything else that was written there is dropped.

        A report is one write, but it can follow half a line of another process.
        """
        nonce = self._nonce.encode()
        _, _, text = report.rpartition(nonce + b" ")
        job = self._current
        if not nonce or nonce not in report or (job is not None and job.reason is not None):
            return
        if text == b"saved" and job is not None:
            self._end_script()
        elif text == b"saved":
            self._script.quiet()
            self._ready = True
            self._failures = 0
            self._traps = _take(self._file("traps"))
            waiting, self._waiting = self._waiting, []
            for action in waiting:
                action()
            self._next()
        elif text == b"spoilt":
            self._script.close()
        elif job is not None and text.startswith(b"end ") and _is_code(text[4:]):
            self._finish(job, {"exit_code": int(text[4:])})

    def _unreported(self) -> None:
        """The shell has run the present line and wants another, but has not reported all of it."""
        nonce = self._nonce
        self._reports.read()  # which may begin the next command
        job = self._current
        if nonce != self._nonce or self._ready or (job is not None and job.reason is not None):
            return
        self._tries += 1
        if job is not None and self._tries == 1:
            self._reports.open()
            self._script.say(script.recover_line(self.run, self._state.turn, self._nonce))
        else:
            self._end_script()

    def _end_script(self) -> None:
        """Let the shell leave at the end of its script, or kill it if it does not.

        It leaves with the command's exit code.
        """
        self._script.close()
        self._give_grace()

    def _give_grace(self) -> None:
        """Kill the shell after `GRACE`, unless it ends before: then its pid may be another process's."""
        pid = self._pid
        if self._grace is not None:
            self._grace.cancel()
        self._grace = self._loop.after(GRACE, lambda: processes.send(pid, signal.SIGKILL))

    def _kill(self, job: Job, pause: float = KILL_ROUND) -> None:
        """Kill in rounds. When only the shell is left, let it write its state down and leave."""
        if job is not self._current:
            return
        if processes.kill_round(job.number, self._pid, job.since):
            self._loop.after(pause, lambda: self._kill(job, min(2 * pause, MAX_PAUSE)))
            return
        job.seal()
        self.on_kill()
        processes.send(self._pid, ABORT)
        processes.send(self._pid, signal.SIGCONT)
        self._give_grace()

    def _ended(self, status: int) -> None:
        """The shell has ended, by a command or by `abort`. Begin a new one where it stopped."""
        self._script.close()
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        if self._away:
            self._pid = 0
        else:
            self._begin_again(self._current, status)

    def _begin_again(self, job: Job | None, status: int, pause: float = KILL_ROUND) -> None:
        if job is None:
            self._failures += 1
            if self._failures > 2 * MOST_FAILURES:
                self._loop.stop()
                return
            if self._failures > MOST_FAILURES:
                self._state.forget()
            self._spawn()
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
        failed = outcome.get("exit_code") != 0
        outcome["reached"] = self.limits.reached(job.log, failed, self._pid, job.command)
        self.on_end()
        job.on_change()
        job.release_outputs()
        self._next()


def _is_code(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 3 and int(text) <= 255


def _take(path: str) -> bytes:
    """Return what a file holds and remove it. Most often it is empty, and costs one system call."""
    try:
        if os.lstat(path).st_size == 0:
            return b""
        content = read_file(path)
        os.unlink(path)
    except OSError:
        return b""
    return content


def _prefer_for_oom_killer() -> None:
    """Let the kernel end a command rather than boxd when memory runs out."""
    guard.reopen()  # or the file would belong to root
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass
