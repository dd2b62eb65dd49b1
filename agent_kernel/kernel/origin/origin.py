"""Read the settings in the metadata of a kernel's notebook, wherever its file is now."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.origin.kept import KeptApproval
from agent_kernel.kernel.origin.start import JupyterStart
from agent_kernel.kernel.preferences import NotebookUnreadable, Preferences, of_notebook

if TYPE_CHECKING:
    from agent_kernel.policy.rules import Policy


@dataclass(frozen=True)
class NotebookSettings:
    """The settings read from a notebook. `problem` is a note for the user, or empty if all is well."""

    preferences: Preferences
    path: Path | None = None
    problem: str = ""


class NotebookOrigin:
    """Finds the notebook of one kernel and reads its settings."""

    def __init__(self, start: JupyterStart, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._start = start
        self._log = log
        self._kept = KeptApproval(start.connection_file)

    async def read(self) -> NotebookSettings:
        """Return the notebook's settings.

        If they cannot be read, or may be those of another notebook, `problem` says so, and an approval
        policy read earlier by this kernel or before its restart stays in force. Raises `InvalidRequest` for
        invalid metadata. Cancelling leaves a thread that ends within seconds.
        """
        return await asyncio.to_thread(self._read)

    def forget(self) -> None:
        """Delete the approval policy saved for a restart of the kernel. Errors are logged, not raised."""
        if self._start.session_path is not None:
            self._keep(None)

    def _keep(self, policy: Policy | None) -> None:
        try:
            self._kept.keep(policy)
        except OSError:
            self._log.warning("%s cannot be written.", self._kept.file, exc_info=True)

    def _read(self) -> NotebookSettings:
        path, doubt = self._path()
        if path is None:
            return self._doubtful(NotebookSettings(Preferences(), None, doubt)) if doubt else _NONE
        try:
            found = NotebookSettings(of_notebook(path), path, doubt)
        except NotebookUnreadable as error:
            return self._doubtful(NotebookSettings(Preferences(), path, _unread(str(error))))
        if doubt:
            return self._doubtful(found)
        self._keep(found.preferences.approval)
        return found

    def _path(self) -> tuple[Path | None, str]:
        """Return the notebook's path, and a note for the user if it may be another notebook's."""
        from agent_kernel.kernel.origin.server import ServerNotAsked, present_path

        start = self._start
        if start.server_file is None:
            return start.session_path, ""
        try:
            path = present_path(start.server_file, start.kernel_id, start.token)
        except ServerNotAsked as error:
            if start.session_path is None:
                return None, ""
            return start.session_path, (
                f"Its Jupyter server could not be asked where this notebook is: {error}. Its settings were "
                f"read from `{start.session_path.name}`, its file when the kernel first started."
            )
        if path is None and start.session_path is not None:
            return None, _unread("the Jupyter server has no notebook for this kernel")
        return path, ""

    def _doubtful(self, found: NotebookSettings) -> NotebookSettings:
        """Return the settings with the approval policy that was read before, if there was one."""
        kept = self._kept.read()
        if kept is None:
            return found
        return replace(
            found,
            preferences=found.preferences.choose(approval=kept),
            problem=f"{found.problem} The approval policy that this notebook had before stays in force.",
        )


_NONE = NotebookSettings(Preferences())


def _unread(why: str) -> str:
    return (
        f"This notebook's settings could not be read: {why}. The model, instructions, budget and approval "
        "policy in its metadata do not apply. They are read again before the next cell."
    )


def container_name(path: Path | None) -> str:
    """Return a container name made from the notebook's file name, or `notebook`."""
    stem = (path or Path()).stem
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:64] or "notebook"
