"""A client that runs cells in a real kernel, for the tests."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

TIMEOUT = 60.0
"""Seconds for anything that a kernel is waited for."""

RENEW = "%model --default\n%budget --clear\n%instructions --clear\n%approve --clear\n%container --new"
"""A cell that undoes what earlier cells have set."""


@dataclass
class Result:
    """What one cell gave: its reply and what it sent on iopub, without status and input."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [message["msg_type"] for message in self.messages]

    @property
    def final(self) -> list[dict[str, Any]]:
        """The outputs that a notebook keeps."""
        kept: list[dict[str, Any]] = []
        for message in self.messages:
            if message["msg_type"] == "clear_output":
                kept = []
            elif message["msg_type"] in ("display_data", "error", "stream", "execute_result"):
                kept.append(message["content"])
        return kept

    @property
    def plain(self) -> list[str]:
        return [output["data"]["text/plain"] for output in self.final if "data" in output]

    @property
    def error(self) -> str:
        return f"{self.reply['ename']}: {self.reply['evalue']}"


class Notebook:
    """A kernel and a client that runs cells in it."""

    def __init__(self, manager: KernelManager, folder: Path) -> None:
        self.manager = manager
        self.folder = folder
        self._ids: set[str] = set()
        self._connect()

    def _connect(self) -> None:
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)

    def restart(self) -> None:
        """Replace the kernel by a new one, whatever it is doing."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=True)
        self._connect()

    def renew(self) -> None:
        """Empty the folder, and replace the container by a new one without the limits of the old one."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        assert self.run(RENEW).reply["status"] == "ok"

    def send(
        self, code: str, *, cell_id: str | None = None, allow_stdin: bool = False, again: bool = False
    ) -> str:
        """Send a cell. `again` runs a cell again; else one with an id of before gets another id."""
        while cell_id in self._ids and not again:
            cell_id = f"{cell_id}+"
        self._ids.add(cell_id or "")
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        metadata = {"cellId": cell_id} if cell_id else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def message(self, timeout: float = TIMEOUT) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get_iopub_msg(timeout=timeout)
        return found

    def collect(
        self, sent: str, until: Callable[[dict[str, Any]], bool] | None = None, wait: float = TIMEOUT
    ) -> Result:
        """Everything that belongs to a request up to its idle status, or up to `until`."""
        result = Result({})
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            message = self.message(wait)
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind = message["msg_type"]
            if kind == "status" and message["content"]["execution_state"] == "idle":
                result.reply = self.reply(sent)
                return result
            if kind not in ("status", "execute_input"):
                result.messages.append(message)
            if until and until(message):
                return result
        raise AssertionError("the cell did not end")

    def reply(self, sent: str) -> dict[str, Any]:
        while True:
            reply = self.client.get_shell_msg(timeout=TIMEOUT)
            if reply["parent_header"].get("msg_id") == sent:
                content: dict[str, Any] = reply["content"]
                return content

    def run(self, code: str, *, cell_id: str | None = None, again: bool = False) -> Result:
        return self.collect(self.send(code, cell_id=cell_id, again=again))

    def interrupt(self, times: int = 1) -> None:
        """Send interrupts all at once, then wait until the kernel has taken them."""
        channel = self.client.control_channel
        for _ in range(times):
            channel.send(self.client.session.msg("interrupt_request", {}))
        for _ in range(times):
            while channel.get_msg(timeout=TIMEOUT)["msg_type"] != "interrupt_reply":
                pass

    def drain(self) -> None:
        try:
            while True:
                self.client.get_iopub_msg(timeout=0.2)
        except Empty:
            return

    def close(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel()
        self.manager.cleanup_resources()


def without_ids(outputs: list[dict[str, Any]]) -> Any:
    """Return outputs without the ids that figures lead to: those of a repeated prompt have others."""
    return json.loads(re.sub(r"output-[0-9a-f]{12}", "output", json.dumps(outputs)))
