"""Asks the helper program (`program.py`) to put an overlay under a running sandbox's folders."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.sandboxes.bubblewrap.process import Started

_PROGRAM = Path(__file__).with_name("program.py")
_SECONDS = 20.0


@dataclass(frozen=True)
class Overlay:
    """An overlay to mount: folders of the host, `lowers` from the lowest to the highest.

    `upper` and `work` are empty and on one file system. `place` is any folder; nothing is left there.
    """

    lowers: Sequence[Path]
    upper: Path
    work: Path
    place: Path


class LayersBusy(Exception):
    """The sandbox cannot change over now: a process has a file open for writing, or works in a folder."""


class LayersUnavailable(Exception):
    """The machine cannot put an overlay under a sandbox."""


class Entrance:
    """The helper process. It is started with the first request, and ends when this is closed or collected."""

    def __init__(self) -> None:
        self._end: weakref.finalize[..., Entrance] | None = None
        self._fd = -1
        self._lock = threading.Lock()

    def put(
        self,
        process: Started,
        overlay: Overlay,
        targets: Mapping[str, str],
        lock: int,
        *,
        check: bool,
        left: bool = False,
    ) -> None:
        """Put folders of an overlay (blocking) where the sandbox has others: `targets`, path inside by name.

        The old ones become read-only, unless the sandbox is `left`: then all its processes are about to be
        ended. With `check`, only if no process would be left in one of them. The helper keeps the open file
        `lock` until it is done, even if we are killed. Raises `LayersBusy`, `LayersUnavailable`; then nothing
        has changed.
        """
        with contextlib.ExitStack() as stack:
            try:
                reader, writer = os.pipe()
                stack.callback(os.close, reader)
                answers = stack.enter_context(os.fdopen(writer, "wb", 0))
                namespace = os.open(f"/proc/{process.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, namespace)
                if not process.alive():
                    raise LayersUnavailable("the sandbox has ended")
                request = {
                    "targets": dict(targets),
                    "place": os.fspath(overlay.place),
                    "noexec": bool(os.statvfs(overlay.upper).f_flag & os.ST_NOEXEC),
                    "check": check,
                    "left": left,
                    "lowerdir": [os.fspath(path) for path in reversed(overlay.lowers)],
                    "upperdir": [os.fspath(overlay.upper)],
                    "workdir": [os.fspath(overlay.work)],
                }
                self._send(json.dumps(request).encode(), [writer, lock, namespace])
                answers.close()
            except OSError as error:
                raise LayersUnavailable(str(error)) from error
            _check_answer(reader)

    def _send(self, text: bytes, fds: list[int]) -> None:
        with self._lock:
            for attempt in range(2):
                if self._end is None:
                    self._fd = _started()
                    self._end = weakref.finalize(self, os.close, self._fd)
                requests = socket.socket(fileno=self._fd)
                try:
                    socket.send_fds(requests, [text], fds)
                except (BrokenPipeError, ConnectionResetError):  # somebody has ended the helper
                    self._close()
                    if attempt:
                        raise
                else:
                    return
                finally:
                    requests.detach()

    def close(self) -> None:
        """Let the helper end. Idempotent; another request starts it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._end is not None:
            self._end()
            self._end = None


def _started() -> int:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        argv = [sys.executable, "-I", "-S", os.fspath(_PROGRAM), str(theirs.fileno())]
        try:
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={},
                cwd="/",
                start_new_session=True,
                timeout=_SECONDS,
                check=True,
            )
        except BaseException as error:
            ours.close()
            if isinstance(error, subprocess.SubprocessError):
                raise OSError(str(error)) from error
            raise
    return ours.detach()


def _check_answer(reader: int) -> None:
    text = b""
    while select.select([reader], [], [], _SECONDS)[0]:
        piece = os.read(reader, 4096)
        if not piece:
            break
        text += piece
    try:
        result = json.loads(text)
    except ValueError:
        raise LayersUnavailable("the helper did not answer") from None
    if "busy" in result:
        raise LayersBusy(result["busy"])
    if "failed" in result:
        raise LayersUnavailable(result["failed"])
