"""Runs cells in R, which runs beside the session and writes to the same outputs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile

from agent_kernel.tools.code_interpreter.inside.screen import Screen

MISSING = 127
"""The exit code of a session whose program is not there."""

_LOOP = r"""
local({
  fd <- function(name, mode) file(paste0("/dev/fd/", Sys.getenv(name)), mode, raw = TRUE, blocking = TRUE)
  requests <- fd("AGENT_KERNEL_REQUESTS", "rt")
  answers <- fd("AGENT_KERNEL_ANSWERS", "wt")
  pictures <- Sys.getenv("AGENT_KERNEL_PICTURES")
  Sys.unsetenv(c("AGENT_KERNEL_REQUESTS", "AGENT_KERNEL_ANSWERS", "AGENT_KERNEL_PICTURES"))
  options(device = function(...) grDevices::png(
    file.path(pictures, "%09d.png"), width = 1400, height = 1000, res = 200))
  answer <- function(status, path) {
    names <- ls(globalenv())
    kept <- utils::head(names[!grepl("[\t\n]", names)], 1000)
    writeLines(paste(c(path, status, kept), collapse = "\t"), answers)
    flush(answers)
  }
  says <- function(what, condition) {
    call <- conditionCall(condition)
    ours <- is.null(call) || as.character(call[[1]])[1] %in% c("eval", "parse")
    where <- if (ours) "" else paste(" in", deparse(call, nlines = 1))
    cat(what, where, ": ", conditionMessage(condition), "\n", sep = "", file = stderr())
  }
  warned <- function(w) {
    says("Warning", w)
    invokeRestart("muffleWarning")
  }
  failed <- function(e) {
    says("Error", e)
    "error"
  }
  run <- function(path) tryCatch(withCallingHandlers({
    for (each in as.list(parse(text = readLines(path, warn = FALSE, encoding = "UTF-8")))) {
      found <- withVisible(eval(each, globalenv()))
      if (found$visible) if (isS4(found$value)) methods::show(found$value) else print(found$value)
    }
    "ok"
  }, warning = warned), error = failed)
  suspendInterrupts({
    answer("ready", "")
    repeat {
      path <- tryCatch(allowInterrupts(readLines(requests, 1)), interrupt = function(e) NA_character_)
      if (length(path) == 0) break
      if (is.na(path)) next
      status <- tryCatch(allowInterrupts(run(path)), interrupt = function(e) "interrupted")
      grDevices::graphics.off()
      answer(status, path)
    }
  })
})
quit("no")
"""


class REngine:
    """As `engine.PlainEngine`, for R. A session whose R ends, ends with the same exit code."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._folder = tempfile.mkdtemp(prefix="r-session-")
        self._names: list[str] = []
        theirs_in, self._requests = os.pipe()
        self._answers, theirs_out = os.pipe()
        environment = dict(
            os.environ,
            AGENT_KERNEL_REQUESTS=str(theirs_in),
            AGENT_KERNEL_ANSWERS=str(theirs_out),
            AGENT_KERNEL_PICTURES=self._folder,
        )
        program = shutil.which("R")
        if program is None:
            sys.exit(MISSING)
        loop = os.path.join(self._folder, "loop.R")
        with open(loop, "w") as file:
            file.write(_LOOP)
        self._process = subprocess.Popen(
            [program, "--no-echo", "--no-restore", "--no-save", "-f", loop],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out),
            env=environment,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._end = _end_of(self._process.pid)
        self._unread = b""
        self._answer("")
        os.unlink(loop)

    def run(self, code: str, number: int) -> bool:
        """Run a cell. Return whether it ended without an error. `KeyboardInterrupt` is raised."""
        path = os.path.join(self._folder, f"cell-{number}.R")
        with open(path, "w", encoding="utf-8") as file:
            file.write(code)
        sent = False
        try:
            os.write(self._requests, path.encode() + b"\n")
            sent = True
            status = self._answer(path)
        except KeyboardInterrupt:  # R has got the signal too, and answers once it has stopped
            if sent:
                self._answer(path)
            status = "interrupted"
        with contextlib.suppress(OSError):
            os.unlink(path)
        self._show_pictures()
        if status == "interrupted":
            raise KeyboardInterrupt
        return status == "ok"

    def names(self) -> list[str]:
        """Return the names of the user's variables."""
        return self._names

    def adopt(self, variables: dict[str, str | None]) -> None:
        """Set environment variables of R; None removes one."""
        lines = [
            f"Sys.unsetenv({json.dumps(name)})"
            if value is None
            else f"Sys.setenv({name} = {json.dumps(value, ensure_ascii=False)})"
            for name, value in variables.items()
        ]
        if lines:
            self.run("invisible({" + "; ".join(lines) + "})", 0)

    def _answer(self, path: str) -> str:
        """Wait for R's answer about a cell and return the status in it. The session ends with R."""
        while True:
            while b"\n" not in self._unread:
                ready, _, _ = select.select([self._answers, *self._end], [], [])
                piece = os.read(self._answers, 1 << 16) if self._answers in ready else b""
                if not piece:
                    code = self._process.wait()
                    os._exit(code if code >= 0 else 128 - code)
                self._unread += piece
            line, _, self._unread = self._unread.partition(b"\n")
            about, status, *names = line.decode("utf-8", "replace").split("\t")
            if about == path:
                self._names = names
                return status

    def _show_pictures(self) -> None:
        for name in sorted(os.listdir(self._folder)):
            path = os.path.join(self._folder, name)
            if name.endswith(".png"):
                with contextlib.suppress(OSError):
                    with open(path, "rb") as file:
                        self._screen.publish({"image/png": file.read(), "text/plain": "[plot]"})
                    os.unlink(path)


def _end_of(pid: int) -> list[int]:
    """Return a descriptor that tells of the end of a process; none if the system has no such thing.

    The pipe alone does not tell while a process that it has started lives on.
    """
    try:
        return [os.pidfd_open(pid)]
    except (AttributeError, OSError):
        return []
