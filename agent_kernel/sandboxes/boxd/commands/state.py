"""The shell's state as a file: how bash writes it after each command, and how a new bash begins with it."""

from __future__ import annotations

import contextlib
import os
import re

from . import plain, script

# Variables that belong to one bash process, or that block boxd's code: not carried into the next shell.
_OWN = re.compile(
    rb"^declare -\S+ (BASH\w*|LINENO|SECONDS|S?RANDOM|EPOCH\w+|FUNCNAME|PIPESTATUS|GROUPS|DIRSTACK|SHELLOPTS|"
    rb"PPID|E?UID|SHLVL|HISTCMD|COMP_WORDBREAKS|_|AGENT_KERNEL_JOB|__boxd_\w+)(=.*)?$|"
    rb"^declare -\S*[rn]\S* FUNCNEST(=.*)?$|"
    rb"^\w+ \(\) \n\{ \n    __boxd_editor \w+ .*\n\}$",  # checkpoints of earlier versions have these
    re.MULTILINE,
)
# The `shopt` options as `declare -p` prints them: `shopt -p` would take one write for each of fifty lines.
_OPTIONS = re.compile(rb'^declare -\S+ BASHOPTS="([\w:]*)"$', re.MULTILINE)

END = b"# end\n"
"""The last line of a complete state."""


def as_script(state: bytes) -> bytes:
    """Return the bash code with which a new shell takes over a state."""
    options = _OPTIONS.search(state)
    switched = (
        b"shopt -u ${BASHOPTS//:/ }; shopt -s %s\n" % options[1].replace(b":", b" ") if options else b""
    )
    return switched + _OWN.sub(b"", state)


class ShellState:
    """The state files in the folder `run`, and `saved`, with which the first shell begins.

    `state.0` and `state.1` are written in turn after each command, so one of them is always complete.
    `state.exit` is written by a shell that a command ends.
    """

    def __init__(self, run: str, saved: str) -> None:
        self._run = run
        self._saved = self._first = saved
        self._fresh = True
        self._turn = 0

    @property
    def turn(self) -> int:
        """The number, 0 or 1, of the file that the present command writes."""
        return self._turn % 2

    def make_way(self) -> None:
        """Remove pipes and the like in place of the files that bash writes: it would wait for them."""
        for name in ("state.exit", "state.0", "state.1", "shell", "traps"):
            with contextlib.suppress(OSError):  # the folder may be missing
                plain.keep_regular(self._path(name))

    def next_turn(self) -> None:
        """Begin with another command."""
        self._turn += 1

    def forget(self) -> None:
        """Let the next shell begin with nothing."""
        for name in ("state.exit", "state.0", "state.1", "traps"):
            self._remove(name)
        self._saved = os.devnull
        self._fresh = True

    def begin_anew(self) -> None:
        """Let the next shell begin with `saved`, as the first one did."""
        self.forget()
        self._saved = self._first

    def begin(self, abort: int, in_command: bool) -> str:
        """Return the line that makes a new shell run what it has to run first.

        `abort` is the signal that asks the shell to leave. `in_command`: a command ended the last one.
        """
        text = self._restore(in_command) + script.prelude(self._run, abort)
        try:
            plain.write_file(self._path("prelude"), text.encode())
        except OSError:  # the file system is full, so bash reads it from its script, which takes longer
            return text
        return r"\. %s 2>/dev/null;" % self._path("prelude")

    def _restore(self, in_command: bool) -> str:
        """Return the script line that restores the last state; empty for a first shell.

        While a command runs, the file of its turn still holds the state of two commands ago.
        """
        if self._fresh:
            self._fresh = False
            return self._restore_from(self._saved)
        last = self._turn - in_command
        for name in ("state.exit", "state.%d" % (last % 2), "state.%d" % ((last + 1) % 2)):
            line = self._restore_from(self._path(name))
            if name == "state.exit":
                self._remove(name)
            if line:
                return line
        return ""

    def _restore_from(self, path: str) -> str:
        try:
            state = plain.read_file(path)
        except OSError:
            return ""
        if not state.endswith(END):
            return ""
        try:
            plain.write_file(self._path("restore"), as_script(state))
        except OSError:
            return ""
        return ". %s\n" % self._path("restore")

    def _path(self, name: str) -> str:
        return os.path.join(self._run, name)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(name))
