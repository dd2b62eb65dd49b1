"""The execution of one shell call through a sandbox's channel.

Choices that the standard leaves open:

- The commands of one call run **one after the other, in order**, in the container's one shell. A command that
  fails or times out does not stop those after it; the model sees every outcome.
- `timeout_ms` is **per command**. It is enforced inside the sandbox, kills the command's whole process tree
  and keeps the output.
- `max_output_length` is in characters, **per command and per stream** (stdout and stderr each). Longer
  output keeps its head and its tail. A line between them says how much was left out and, if the sandbox
  keeps the whole output in a file, the path of that file.
- If a command reached a limit of the sandbox, a line like `[out of memory: limit 1 GiB]` ends its stderr,
  regardless of `max_output_length`: a bare exit code 137 explains nothing.
- If connections were refused meanwhile, a line for each destination ends its stderr in the same way.
- Live pieces are sent as they arrive, up to the same limit per stream; then one piece says that the rest
  follows at the end. Below the limit the joined pieces equal the final text; above it the final text is the
  record. The host never keeps more than the limit, however much a command prints.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from agent_kernel.errors import ChannelBroken
from agent_kernel.sandboxes.channel import Channel, CommandEvent, Exited, Output, Skipped, TimedOut

Events = AsyncGenerator[CommandEvent | Skipped, None]


@dataclass(frozen=True)
class ShellLimits:
    """The defaults and maxima of a call's limits."""

    timeout: float = 120.0
    """Seconds per command when the call sets no `timeout_ms`."""
    max_timeout: float = 3600.0
    """Seconds; a longer `timeout_ms` is cut to this."""
    output_length: int = 50_000
    """Characters per command and stream when the call sets no `max_output_length`."""
    max_output_length: int = 1_000_000
    """Characters; a larger `max_output_length` is cut to this. It bounds the host's memory."""

    def timeout_seconds(self, timeout_ms: int | None) -> float:
        """Return the timeout of one command in seconds. Unset, zero and negative mean the default."""
        if timeout_ms is None or timeout_ms <= 0:
            return self.timeout
        return min(timeout_ms / 1000, self.max_timeout)

    def characters(self, max_output_length: int | None) -> int:
        """Return the characters to keep of a stream. Unset and negative mean the default; 0 keeps nothing."""
        if max_output_length is None or max_output_length < 0:
            return self.output_length
        return min(max_output_length, self.max_output_length)


DEFAULT_LIMITS = ShellLimits()


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """A piece of output from command number `command_index`."""

    command_index: int
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The end of a command, with its whole (clipped) output. `exit_code` None means that it timed out.

    `log` is the file in the sandbox with the whole output, if there is one and the output does not name it.
    """

    command_index: int
    stdout: str
    stderr: str
    exit_code: int | None
    log: str | None = None


@dataclass(frozen=True, slots=True)
class Rejoined:
    """How to resume a command after its process died: keep reading it, run it, or give it up as lost.

    `stdout` and `stderr` are the output streamed before.
    """

    how: Literal["watch", "run", "lost"]
    stdout: str = ""
    stderr: str = ""


LOST = "The server ended while the command ran, so its outcome is not known."
LOST_EXIT = 130


class Clipped:
    """The decoded text of one stream of a command, bounded to its head and tail."""

    def __init__(self, limit: int) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._limit = limit
        self._head_room = limit - limit // 2
        self._tail_room = limit // 2
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._tail_length = 0
        self._total = 0

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """Add bytes and return the text to show live."""
        text = self._decoder.decode(data, final)
        room = self._limit - self._total
        self._total += len(text)
        self._keep(text)
        if len(text) <= room:
            return text
        if room < 0:  # the note was shown before
            return ""
        return text[:room] + (
            f"\n[... more than {self._limit} characters; the end is shown when the command is done ...]\n"
        )

    def _keep(self, text: str) -> None:
        head, rest = text[: self._head_room], text[self._head_room :]
        if head:
            self._head.append(head)
            self._head_room -= len(head)
        if not rest:
            return
        self._tail.append(rest[-self._tail_room :] if self._tail_room else "")
        self._tail_length += len(self._tail[-1])
        while self._tail and self._tail_length - len(self._tail[0]) >= self._tail_room:
            self._tail_length -= len(self._tail.popleft())

    @property
    def is_clipped(self) -> bool:
        """Whether the text is longer than the limit."""
        return self._total > self._limit

    def text(self, log: str | None = None) -> str:
        """Return the kept text, with a line about what was left out. `log` is the file with all of it."""
        head = "".join(self._head)
        tail = "".join(self._tail)
        if self._total <= self._limit:
            return head + tail
        tail = tail[-self._tail_room :] if self._tail_room else ""
        left_out = self._total - len(head) - len(tail)
        where = f"; the log is {_printable(log)}" if log else ""
        return f"{head}\n[... {left_out} characters left out{where} ...]\n{tail}"


async def run_shell_call(
    channel: Channel,
    commands: Sequence[str],
    *,
    timeout_ms: int | None = None,
    max_output_length: int | None = None,
    limits: ShellLimits = DEFAULT_LIMITS,
    name: str = "",
    rejoin: Mapping[int, Rejoined] | None = None,
    refusals: Callable[[], Sequence[str]] = tuple,
) -> AsyncGenerator[CommandOutput | CommandResult, None]:
    """Run the commands in order and yield their output; each ends with its `CommandResult`.

    `name` is unique in the sandbox, so that another process can resume the call. To resume, `rejoin` has the
    commands that had not ended, by index. `refusals` is asked after each command: see `ToolContext`.
    Raises `SandboxGone`, `SandboxUnreachable`, `ChannelBroken`.
    Closing or cancelling it kills the running command's whole process tree; later commands do not begin.
    """
    timeout = limits.timeout_seconds(timeout_ms)
    characters = limits.characters(max_output_length)
    for index, command in enumerate(commands):
        how = Rejoined("run") if rejoin is None else rejoin.get(index)
        if how is None:
            continue
        if how.how == "lost":
            yield CommandResult(index, how.stdout, on_own_line(how.stderr, LOST), LOST_EXIT)
            continue
        if "\0" in command:  # no system can run it; report it as a shell would
            yield CommandResult(index, "", "A command cannot contain NUL characters.\n", 2)
            continue
        called = command_name(name, index) if name else None
        if how.how == "watch" and called is not None:
            events: Events = channel.watch(called)
        else:
            events = channel.run(command, timeout=timeout, name=called)
        async with aclosing(_command(events, index, characters, how, refusals)) as pieces:
            async for piece in pieces:
                yield piece


def command_name(name: str, index: int) -> str:
    """Return the name in the sandbox of one command of the call `name`."""
    return f"{name}/{index}"


async def _command(
    source: Events, index: int, characters: int, before: Rejoined, refusals: Callable[[], Sequence[str]]
) -> AsyncGenerator[CommandOutput | CommandResult, None]:
    out, err = _Printed(characters, before.stdout), _Printed(characters, before.stderr)
    end: Exited | TimedOut | None = None
    async with aclosing(source) as events:
        async for event in events:
            match event:
                case Output("stdout", data):
                    live = CommandOutput(index, stdout=out.take(data))
                case Output(_, data):
                    live = CommandOutput(index, stderr=err.take(data))
                case Skipped(size):
                    out.assume_streamed()
                    err.assume_streamed()
                    note = f"\n[... up to {size} bytes of output are missing here ...]\n"
                    live = CommandOutput(index, stderr=err.take(note.encode()))
                case _:
                    end = event
                    continue
            if live.stdout or live.stderr:
                yield live
    if end is None:
        raise ChannelBroken(
            "The connection to the sandbox ended before the command did, for an unknown reason."
        )
    if text := out.take(b"", final=True):
        yield CommandOutput(index, stdout=text)
    if text := err.take(b"", final=True):
        yield CommandOutput(index, stderr=text)
    stdout, stderr = out.kept.text(end.log), err.kept.text(end.log)
    is_named = out.kept.is_clipped or err.kept.is_clipped
    log = _printable(end.log) if end.log and not is_named else None
    words = _lines_after(stderr, [*(f"[{words}]" for words in end.reached), *refusals()])
    if text := err.fresh(words):
        yield CommandOutput(index, stderr=text)
    exit_code = end.code if isinstance(end, Exited) else None
    yield CommandResult(index, stdout, stderr + words, exit_code, log)


class _Printed:
    """One stream of a command: the kept text, and the text streamed before the command was resumed.

    A resumed command is read again from its beginning, but no text is streamed twice.
    """

    def __init__(self, limit: int, streamed: str) -> None:
        self.kept = Clipped(limit)
        self._streamed = streamed

    def take(self, data: bytes, *, final: bool = False) -> str:
        """Keep bytes and return the text to stream."""
        return self.fresh(self.kept.feed(data, final=final))

    def fresh(self, text: str) -> str:
        """Return the part of the next text that was not streamed yet."""
        left = len(self._streamed)
        if left:
            self._streamed = self._streamed[len(text) :]
        return text[left:]

    def assume_streamed(self) -> None:
        """Keep the streamed text instead of output that the sandbox no longer has."""
        streamed, self._streamed = self._streamed, ""
        self.kept.feed(streamed.encode())


def on_own_line(text: str, words: str) -> str:
    """Return the text with a line after it."""
    return f"{text}\n{words}\n" if text and not text.endswith("\n") else f"{text}{words}\n"


def _lines_after(stderr: str, words: Sequence[str]) -> str:
    """Return lines for the end of a command's stderr."""
    lines = "".join(f"{_printable(line)}\n" for line in words)
    return "\n" + lines if lines and stderr and not stderr.endswith("\n") else lines


def _printable(words: str) -> str:
    """Return text from a sandbox without control characters, on one line."""
    return "".join(character if character.isprintable() else "?" for character in words)
