"""Keep the approval policy of a kernel's notebook across restarts of the kernel.

A restarted kernel may be unable to read its notebook. It must then not stop asking, so the last policy that
was read is kept in a file next to the connection file, under the same kernel id.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from agent_kernel.policy.rules import Policy, read_policy


class KeptApproval:
    """The policy on disk, of one kernel id. Methods raise `OSError` if the folder cannot be written."""

    def __init__(self, connection_file: Path) -> None:
        kernel_id = connection_file.stem.removeprefix("kernel-")
        self.file = connection_file.with_name(f"agent-kernel-{kernel_id}.approval")  # no `kernel-*.json`

    def read(self) -> Policy | None:
        """Return the kept policy, or None. If its file cannot be read, all commands need approval."""
        try:
            return read_policy(json.loads(self.file.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return read_policy("ask")

    def keep(self, policy: Policy | None) -> None:
        """Replace the kept policy; None removes it."""
        if policy is None:
            self.file.unlink(missing_ok=True)
            return
        new = self.file.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(policy.to_json(), file)
        new.replace(self.file)
