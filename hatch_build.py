"""Puts the JupyterLab extension into the wheel and the source distribution, built.

`make extension` builds it. If that was not done, it is built here, if there is Node. Without Node the wheel
has no extension and says so: the kernel works without it. AGENT_KERNEL_REQUIRE_ALL=1 makes that an error. An
editable installation leaves the extension to `make extension`, which links it into the environment.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "jupyter-agent-kernel"


class ExtensionHook(BuildHookInterface):
    """Adds `extension/labextension` to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extension if it is not there, and add it."""
        if version == "editable":
            return
        built = Path(self.root, "extension", "labextension")
        if not (built / "package.json").exists():
            self._build()
        if not (built / "package.json").exists():
            return
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
            self.app.display_warning("There is no JupyterLab extension in this build, see above.")
