"""Puts the JupyterLab extension and the live view into the wheel and the source distribution, built.

`make extension` builds them. If that was not done, they are built here, if there is Node. Without Node the
wheel has neither and says so: the kernel works without them. AGENT_KERNEL_REQUIRE_ALL=1 makes that an
error. An editable installation leaves them to `make extension`, which links the extension into the
environment.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "jupyter-agent-kernel"
LIVE_VIEW = "agent_kernel/kernel/live/static"


class ExtensionHook(BuildHookInterface):
    """Adds `extension/labextension` and the live view to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build them if they are not there, and add them."""
        if version == "editable":
            return
        built = Path(self.root, "extension", "labextension")
        needed = (built / "package.json", Path(self.root, LIVE_VIEW, "live.js"))
        if not all(path.exists() for path in needed):
            self._build()
        if not all(path.exists() for path in needed):
            return
        build_data["artifacts"].append(f"/{LIVE_VIEW}/")
        if self.target_name == "wheel":
            place = f"share/jupyter/labextensions/{NAME}"
            build_data["shared_data"][str(built)] = place
            build_data["shared_data"][str(built.with_name("install.json"))] = f"{place}/install.json"
        else:
            build_data["artifacts"].append("/extension/labextension/")

    def _build(self) -> None:
        done = subprocess.run([Path(self.root, ".ci", "extension"), sys.prefix], check=False)
        if done.returncode and os.environ.get("AGENT_KERNEL_REQUIRE_ALL") == "1":
            sys.exit("The JupyterLab extension could not be built; see above.")
        if done.returncode:
            self.app.display_warning(
                "There is no JupyterLab extension and no live view in this build, see above."
            )
