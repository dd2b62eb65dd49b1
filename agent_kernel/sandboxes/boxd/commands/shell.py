"""One bash that lives from command to command, and the commands (jobs) given to it.

bash reads its script from a pipe, byte by byte, so the two lines that are a job are short ones: source the
command's text with outputs of its own, then report the status. Its state is written down after each job, so
that a command which ends the shell (`exit`, `exec`, `set -e`, a signal) ends only itself: the next shell
begins where that one stopped.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import struct
import termios
from fcntl import ioctl

from .. import guard, gvisor, wire
from . import limits, processes
from .log import Log
from .logfile import LogFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..loop import Loop, Timer

ABORT = signal.SIGRTMIN + 10
"""Asks the shell to write its state down and leave; a number that commands hardly ever trap."""

GRACE = 0.5
KILL_ROUND = 0.002
MAX_PAUSE = 0.1

PRELUDE = r"""
shopt -s expand_aliases
__boxd_dump() {
  { declare -p; declare -f; alias -p; trap -p; umask -p; printf 'cd -- %%q\n# end\n' "$PWD"; } >"$1"
} 2>/dev/null
__boxd_leave() { __boxd_dump %(run)s/state.exit; }
__boxd_user_trap() { eval "$2"; }
__boxd_end() {
  local code=$? text
  set +euvxn +o pipefail
  trap -p EXIT >%(run)s/trap
  IFS= read -r -d '' text <%(run)s/trap
  if [[ $text != *__boxd_leave* ]]; then
    [[ -z $text ]] || eval "__boxd_user_${text}"
    trap __boxd_leave EXIT
  fi
  return $code
}
trap __boxd_leave EXIT
trap 'exit 143' %(abort)d
export %(job)s
readonly __boxd_do='{ . %(run)s/command; __boxd_end; } >%(run)s/out 2>%(run)s/err </dev/null'
readonly __boxd_tell='echo $? >%(run)s/status; __boxd_dump %(run)s/state.'
"""

# Variables that belong to one bash process and must not be carried into the next.
_OWN = re.compile(
    rb"^declare -\S+ (BASH\w*|LINENO|SECONDS|S?RANDOM|EPOCH\w+|FUNCNAME|PIPESTATUS|GROUPS|DIRSTACK|SHELLOPTS|"
    rb"PPID|E?UID|SHLVL|HISTCMD|COMP_WORDBREAKS|_|AGENT_KERNEL_JOB|__boxd_\w+)(=.*)?$",
    re.MULTILINE,
)
# The options of `shopt` as `declare -p` tells them: `shopt -p` would be a write for each of its fifty lines.
_OPTIONS = re.compile(rb'^declare -\S+ BASHOPTS="([\w:]*)"$', re.MULTILINE)


class Job:
    """A command in the shell: its outputs go to `log`, `on_change` is called when there is more to tell."""

    def __init__(self, number: int, command: bytes, timeout: float | None) -> None:
        self.number = str(number)
        self.name: str | None = None
        self.command = command
        self.timeout = timeout
        self.log = Log()
        self.file: LogFile | None = None
        self.outcome: dict[str, Any] | None = None
        self.reason: str | None = None
        self.timer: Timer | None = None
        self.grace: Timer | None = None
        self.fds: dict[int, int] = {}
        self.throttled = False
        self.sealed = False
        self.on_change: Callable[[], None] = lambda: None
        self.on_taken: Callable[[], None] = lambda: None
        self.since: processes.Moment  # its start


class Shell:
    """Runs jobs one after the other in one bash."""

    def __init__(self, loop: Loop, run: str, workspace: str, environment: dict[str, str], saved: str) -> None:
        self._loop = loop
        self._run = run
        self._workspace = workspace
        self._saved = saved
        self.environment = dict(environment, **gvisor.environment())
        self._queue: list[Job] = []
        self._current: Job | None = None
        self._turn = 0
        self._fresh = True
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
        """End a job and everything that it started; its outcome is `{reason: true}`. Idempotent."""
        if job in self._queue:
            self._queue.remove(job)
            job.outcome = {reason: True}
            job.on_change()
        elif job is self._current and job.reason is None:
            job.reason = reason
            processes.send(self._pid, signal.SIGSTOP)
            self._kill(job)

    def reset(self) -> None:
        """Begin with a fresh shell: nothing of its state before stays. A running job is ended."""
        for name in ("state.exit", "state.0", "state.1"):
            self._remove(name)
        self._saved = os.devnull
        self._fresh = True
        if self._current is not None:
            self.abort(self._current, "cancelled")
        else:
            self._ending = True
            processes.send(self._pid, signal.SIGKILL)

    def directory(self) -> str:
        """Where the shell is now; the workspace if that cannot be told."""
        try:
            return os.readlink("/proc/%d/cwd" % self._pid)
        except OSError:
            return self._workspace

    def _spawn(self) -> None:
        script, self._script = os.pipe()
        restored = self._restore()
        pid = os.fork()
        if pid == 0:
            self._become_bash(script)
        os.close(script)
        self._pid = pid
        self._loop.on_exit(pid, self._ended)
        prelude = PRELUDE % {"run": self._run, "abort": ABORT, "job": processes.JOB_VARIABLE}
        self._write_file("prelude", (restored + prelude).encode())
        self._say(
            ". %s 2>/dev/null; __boxd_dump %s.%d"
            % (self._file("prelude"), self._file("state"), self._turn % 2)
        )

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

    def _restore(self) -> str:
        """The script line that brings the last written state back; empty for a first shell.

        The file of a running job's own turn still holds what was written two jobs ago.
        """
        if self._fresh:
            self._fresh = False
            return self._restore_from(self._saved)
        last = self._turn - (self._current is not None)
        for name in ("state.exit", "state.%d" % (last % 2), "state.%d" % ((last + 1) % 2)):
            line = self._restore_from(self._file(name))
            if name == "state.exit":
                self._remove(name)
            if line:
                return line
        return ""

    def _restore_from(self, path: str) -> str:
        try:
            with open(path, "rb") as file:
                state = file.read()
        except OSError:
            return ""
        if not state.endswith(b"# end\n"):
            return ""
        options = _OPTIONS.search(state)
        switched = (
            b"shopt -u ${BASHOPTS//:/ }; shopt -s %s\n" % options[1].replace(b":", b" ") if options else b""
        )
        self._write_file("restore", switched + _OWN.sub(b"", state))
        return ". %s\n" % self._file("restore")

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._file(name))

    def _write_file(self, name: str, content: bytes) -> None:
        with open(self._file(name), "wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]

    def _say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has just ended: `_ended` follows
            os.write(self._script, line.encode() + b"\n")

    def _next(self) -> None:
        if self._current is not None or self._ending or not self._queue:
            return
        job = self._current = self._queue.pop(0)
        try:
            self._write_file("command", job.command)
            for stream, name in ((wire.STDOUT, "out"), (wire.STDERR, "err")):
                job.fds[stream] = self._new_pipe(name)
        except OSError as error:
            self._finish(job, {"error": "cannot start a command: %s" % error.strerror})
            return
        for stream, fd in job.fds.items():
            self._watch(job, stream, fd)
        job.since = processes.Moment()
        if job.timeout is not None:
            job.timer = self._loop.after(job.timeout, lambda: self.abort(job, "timed_out"))
        self._turn += 1
        self._say(
            '%s=%s;eval "$__boxd_do"\neval "$__boxd_tell"%d'
            % (processes.JOB_VARIABLE, job.number, self._turn % 2)
        )

    def _new_pipe(self, name: str) -> int:
        path = self._file(name)
        self._remove(name)
        os.mkfifo(path, 0o600)
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def _watch(self, job: Job, stream: int, fd: int) -> None:
        mask = 0 if job.throttled else selectors.EVENT_READ
        self._loop.watch(fd, mask, lambda mask: self._readable(job, stream, fd))

    def throttle(self, job: Job, on: bool) -> None:
        """Stop or go on reading a job's outputs: its pipes fill and the command waits."""
        if job.throttled != on:
            job.throttled = on
            for stream, fd in job.fds.items():
                self._watch(job, stream, fd)

    def _readable(self, job: Job, stream: int, fd: int) -> None:
        try:
            payload = os.read(fd, wire.CHUNK)
        except BlockingIOError:
            return
        if not payload:
            self._loop.watch(fd, 0, None)
            os.close(fd)
            del job.fds[stream]
        elif (
            job.outcome is None and not job.sealed
        ):  # what a background process prints afterwards is read, and dropped
            self._append(job, stream, payload)
            job.on_change()

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
        """Kill in rounds; when the shell is all that is left, let it write its state down and leave."""
        if job is not self._current:
            return
        if processes.kill_round(job.number, self._pid, job.since):
            self._loop.after(pause, lambda: self._kill(job, min(2 * pause, MAX_PAUSE)))
            return
        job.sealed = True  # what the shell itself has to say of the killed is not the command's output
        for stream, fd in list(job.fds.items()):
            self._drain(job, stream, fd)
        processes.send(self._pid, ABORT)
        processes.send(self._pid, signal.SIGCONT)
        pid = self._pid
        job.grace = self._loop.after(GRACE, lambda: processes.send(pid, signal.SIGKILL))

    def _ended(self, status: int) -> None:
        """The shell is gone: a command's doing, or ours in `abort`. Begin a new one where it stopped."""
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
        if job.timer is not None:
            job.timer.cancel()
        if not job.sealed:
            for stream, fd in list(job.fds.items()):
                self._drain(job, stream, fd)
        if outcome.get("exit_code") != 0:
            outcome["reached"] = self.limits.reached(job.log.tail(limits.SEEN))
        path = job.file.end() if job.file is not None else None
        if path is not None:
            outcome["log"] = path
        job.outcome = outcome
        self.throttle(job, False)
        self._next()
        job.on_change()

    def _drain(self, job: Job, stream: int, fd: int) -> None:
        """Take what the command had written when it ended, and no more: something may still be writing."""
        left: int = struct.unpack("i", ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0]
        while left > 0:
            payload = os.read(fd, min(left, wire.CHUNK))
            self._append(job, stream, payload)
            left -= len(payload)

    def _append(self, job: Job, stream: int, payload: bytes) -> None:
        job.log.append(stream, payload)
        if job.file is None:
            job.file = LogFile(self._file("log"), job.number)
        job.file.take(job.log, payload)


def _prefer_for_oom_killer() -> None:
    """Under memory pressure a command is to die, not boxd."""
    guard.reopen()  # or the file would be root's
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass
