"""What Jupyter said to a kernel when it started the process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class JupyterStart:
    """How a kernel process was started. `config.jupyter_start` fills it from the environment.

    `connection_file` is the kernel's own. `session_path` is the notebook's path at the kernel's first start,
    which a restart does not renew; None if no Jupyter server started the kernel. `server_file` describes the
    server (`jpserver-<pid>.json`) and may be missing. `token` is for servers behind a hub, which have none
    of their own; the repr does not show it.
    """

    connection_file: Path
    session_path: Path | None = None
    server_file: Path | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def kernel_id(self) -> str:
        """The id that the Jupyter server gave this kernel; a restart keeps it."""
        return self.connection_file.stem.removeprefix("kernel-")
