"""Long-lived programs that hosts talk to over the stream, one host at a time.

A program has a name. The first call with a name starts it, later ones go on with it. It outlives its hosts: a
call that is cancelled or lost only lets go of it. While no host is attached nothing reads what it prints, so
it waits once its pipes are full. Its end also ends all that it has started.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal

from .. import guard, wire
from ..handler import BoxHandler
from . import limits, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..handler import BoxChannel
    from ..loop import Loop, Timer

MOST = 8
"""The most names of programs in a sandbox."""

MOST_WAITING = 32
"""The most calls that wait for one program."""

MOST_ARGUMENTS = 64

SIGNALS = {"interrupt": signal.SIGINT, "kill": signal.SIGKILL}

ROUND = 0.002
MAX_PAUSE = 0.1


class Programs:
    """The programs of a sandbox, by name."""

    def __init__(self, loop: Loop, environment: dict[str, str]) -> None:
        self._loop = loop
        self._environment = environment
        self._programs: dict[str, RunningProgram] = {}

    def call(self, channel: BoxChannel, name: str, command: list[str], directory: str) -> BoxHandler | None:
        """Attach a host to the program, which is started if it does not run.

        Without a command nothing is started and nobody is waited for.
        """
        fits = 0 < len(name) <= wire.MAX_NAME and len(command) <= MOST_ARGUMENTS
        if not fits or any("\0" in each for each in command):
            raise ValueError("program")
        if not command:
            return self._attach(channel, name)
        if name not in self._programs:
            self._forget_ended()
            if len(self._programs) >= MOST:
                channel.error("program", "there are too many programs")
                return None
            self._programs[name] = RunningProgram(self._loop, name, self._environment)
        program = self._programs[name]
        if len(program.calls) >= MOST_WAITING:
            channel.error("program", "too many calls wait for this program")
            return None
        return ProgramCall(channel, program, (command, directory))

    def _attach(self, channel: BoxChannel, name: str) -> BoxHandler | None:
        """Attach a host to a program that runs and is free; else answer which of both is wrong."""
        program = self._programs.get(name)
        if program is None or not program.in_use:
            channel.result({"absent": True})
        elif not program.is_free:
            channel.result({"busy": True})
        else:
            return ProgramCall(channel, program, ([], ""))
        return None

    def _forget_ended(self) -> None:
        if len(self._programs) >= MOST:
            used = {name: each for name, each in self._programs.items() if each.in_use}
            self._programs = used


class ProgramCall(BoxHandler):
    """A host's use of a program, once those before it have let go. `start` are its command and folder."""

    def __init__(self, channel: BoxChannel, program: RunningProgram, start: tuple[list[str], str]) -> None:
        self.channel = channel
        self.start = start
        self._program = program
        program.calls.append(self)
        program.next()

    @property
    def _is_first(self) -> bool:
        return bool(self._program.calls) and self._program.calls[0] is self

    def on_data(self, stream: int, payload: wire.Bytes) -> None:
        """Write to the program."""
        if not self._is_first:
            raise wire.WireError("data for a program that another call uses")
        self._program.write(bytes(payload))
        self.channel.took(wire.FRAME_COST)

    def on_eof(self) -> None:
        """Close the program's input, after what was written."""
        if self._is_first:
            self._program.close_input()

    def on_event(self, value: dict[str, Any]) -> None:
        """Send the program a signal."""
        number = SIGNALS.get(str(value.get("signal")))
        if number is None:
            raise wire.WireError("no such signal")
        if self._is_first:
            self._program.signal(number)

    def on_credit(self) -> None:
        """Go on sending what it prints."""
        if self._is_first:
            self._program.watch()

    def on_cancel(self) -> bool:
        """Let go of the program."""
        self.on_lost()
        self.channel.result({"detached": True})
        return True

    def on_lost(self) -> None:
        """Let go of the program, because the host is gone."""
        self._program.let_go(self)


class RunningProgram:
    """One name: its process, if it runs, and the calls that use it, of which the first is attached."""

    def __init__(self, loop: Loop, name: str, environment: dict[str, str]) -> None:
        self.calls: list[ProgramCall] = []
        self._loop = loop
        self._name = name
        self._environment = environment
        self._began_with: dict[str, str] = {}
        self._memory = limits.Memory()
        self._number = 0
        self._pid = self._session = 0
        self._input = -1
        self._unwritten = b""
        self._ends = False
        self._outputs: dict[int, int] = {}
        self._outcome: dict[str, Any] | None = None
        self._attached: ProgramCall | None = None
        self._timer: Timer | None = None

    @property
    def _job(self) -> str:
        return "%s%s/%d" % (processes.PROGRAM, self._name, self._number)

    @property
    def in_use(self) -> bool:
        """Whether it runs, ends, or is called."""
        return bool(self.calls or self._pid or self._timer is not None)

    @property
    def is_free(self) -> bool:
        """Whether it runs, and no call uses it or waits for it."""
        return bool(self._pid) and not self.calls

    def next(self) -> None:
        """Attach the first call, unless one is attached."""
        ending = self._timer is not None or (not self._pid and self._outputs)
        if not self.calls or self._attached is not None or ending:
            return
        self._attached = call = self.calls[0]
        before, started = self._outcome, not self._pid
        if started:
            try:
                self._start(*call.start)
            except OSError as error:
                self._attached = None
                self.calls.remove(call)
                call.channel.error("program", "cannot start a program: %s" % error.strerror)
                self.next()
                return
        report = {"started": started, "number": self._number, "before": before if started else None}
        call.channel.tell(dict(report, variables=self._changed_variables()), now=True)
        self.watch()

    def _changed_variables(self) -> dict[str, str | None]:
        """Return the variables of commands that have changed since the program began; None: removed."""
        now, then = self._environment, self._began_with
        changed = {name: value for name, value in now.items() if then.get(name) != value}
        return dict(dict.fromkeys(then.keys() - now.keys()), **changed)

    def let_go(self, call: ProgramCall) -> None:
        """Take a call out, and attach the next one. The program goes on."""
        if call in self.calls:
            self.calls.remove(call)
        if call is self._attached:
            self._attached = None
            self.watch()
            self.next()

    def _start(self, command: list[str], directory: str) -> None:
        pipes: list[int] = []
        try:
            for _ in range(3):
                pipes += os.pipe()
            pid = os.fork()
        except OSError:
            for fd in pipes:
                os.close(fd)
            raise
        theirs = (pipes[0], pipes[3], pipes[5])
        self._number += 1
        self._began_with = dict(self._environment)
        if pid == 0:
            _become(command, directory, dict(self._began_with, **{processes.JOB_VARIABLE: self._job}), theirs)
        for fd in theirs:
            os.close(fd)
        self._memory.reached()  # what was reached before is not its doing
        self._session = pid
        self._pid, self._outcome, self._ends, self._unwritten = pid, None, False, b""
        self._input, self._outputs = pipes[1], {wire.STDOUT: pipes[2], wire.STDERR: pipes[4]}
        for fd in (pipes[1], pipes[2], pipes[4]):
            os.set_blocking(fd, False)
        self._loop.on_exit(pid, self._ended)

    def write(self, payload: bytes) -> None:
        """Write to its input. What it does not read yet waits; the credit bounds that."""
        if self._input >= 0 and not self._ends:
            self._unwritten += payload
            self.watch()

    def close_input(self) -> None:
        """Close its input, after what was written."""
        self._ends = True
        self.watch()

    def signal(self, number: int) -> None:
        """Send a signal to its process group; SIGKILL to all that it has started."""
        if not self._pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, number)  # reaches all at once, so that no fork escapes it
        if number == signal.SIGKILL:
            self._kill()

    def watch(self) -> None:
        """Read what it prints as far as the attached host has credit, and write what it can take."""
        if self._ends and not self._unwritten:
            self._close_input()
        if self._input >= 0:
            mask = selectors.EVENT_WRITE if self._unwritten else 0
            self._loop.watch(self._input, mask, lambda mask: self._writable())
        call = self._attached
        if self._outcome is not None:
            self._answer()
            return
        room = call is not None and call.channel.room
        for stream, fd in self._outputs.items():
            mask = selectors.EVENT_READ if room else 0
            self._loop.watch(fd, mask, lambda mask, stream=stream: self._readable(stream))  # type: ignore[misc]

    def _writable(self) -> None:
        try:
            written = os.write(self._input, self._unwritten)
        except BlockingIOError:
            return
        except OSError:  # it reads no more
            written = len(self._unwritten)
        self._unwritten = self._unwritten[written:]
        if self._attached is not None:
            self._attached.channel.took(written)
        self.watch()

    def _readable(self, stream: int) -> None:
        call = self._attached
        if call is None or not call.channel.room or stream not in self._outputs:
            return
        try:
            payload = os.read(self._outputs[stream], min(wire.CHUNK, call.channel.room))
        except BlockingIOError:
            return
        if not payload:
            self._close_output(stream)
            return
        call.channel.data(stream, payload)
        if not call.channel.room:
            self.watch()

    def _ended(self, status: int) -> None:
        """Its first process has ended: end the rest, so that its outputs end too."""
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        self._outcome = {"exit_code": code, "reached": self._memory.reached()}
        self._pid = 0
        self._unwritten, self._ends = b"", True
        self._close_input()
        self._kill()

    def _kill(self, pause: float = ROUND) -> None:
        """Kill in rounds all processes of its session, and those that carry its job number."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        job, found = self._job, False
        for pid, process in processes.table().items():
            if pid in (1, os.getpid()):
                continue
            if process.session == self._session or processes.job_of(pid) == job:
                processes.send(pid, signal.SIGKILL)
                found = True
        if found or self._pid:
            self._timer = self._loop.after(pause, lambda: self._kill(min(2 * pause, MAX_PAUSE)))
        else:
            self._answer()

    def _answer(self) -> None:
        """Tell the attached host of the end, once it has all that was printed. Without one, drop that."""
        if self._outcome is None or self._pid or self._timer is not None:
            return
        call = self._attached
        for stream in list(self._outputs):
            if call is None or self._is_drained(stream, call.channel):
                self._close_output(stream)
        if self._outputs:  # the host must give credit first
            return
        if call is not None:
            outcome, self._outcome, self._attached = self._outcome, None, None
            self.calls.remove(call)
            call.channel.result(dict(outcome, number=self._number))
        self.next()

    def _is_drained(self, stream: int, channel: BoxChannel) -> bool:
        """Send what an output still has. Return whether that was all: another process may have it open."""
        while channel.room:
            try:
                payload = os.read(self._outputs[stream], min(wire.CHUNK, channel.room))
            except BlockingIOError:
                return True
            if not payload:
                return True
            channel.data(stream, payload)
        return False

    def _close_output(self, stream: int) -> None:
        fd = self._outputs.pop(stream)
        self._loop.watch(fd, 0, None)
        os.close(fd)

    def _close_input(self) -> None:
        if self._input >= 0:
            self._loop.watch(self._input, 0, None)
            os.close(self._input)
            self._input = -1


def _become(command: list[str], directory: str, environment: dict[str, str], ends: tuple[int, ...]) -> None:
    try:
        os.setsid()
        for number, fd in enumerate(ends):
            os.dup2(fd, number)
        processes.default_signals()
        with contextlib.suppress(OSError):
            guard.reopen()  # or the file would belong to root
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("500")
        with contextlib.suppress(OSError):
            os.chdir(directory)
        os.execvpe(command[0], command, environment)  # noqa: S606
    except OSError as error:
        os.write(2, ("%s: %s\n" % (command[0], error.strerror)).encode("utf-8", "replace"))
    finally:
        os._exit(127)
