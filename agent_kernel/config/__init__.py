"""The settings, their sources and their values. No other package reads the environment.

A later source overrides an earlier one:

1. the default, documented with each setting below;
2. `jupyter_agent_kernel_config.py` (or `.json`) in Jupyter's configuration folders;
3. the environment (`AGENT_KERNEL_*`; an empty variable counts as not set);
4. the command line;
5. in the notebook: its metadata, magics (`%model`), the metadata of a cell.

Settings are grouped in small Configurables; `Settings` has all of them.
"""

from agent_kernel.config.choice import Choice
from agent_kernel.config.groups import RuntimeSettings, SandboxSettings
from agent_kernel.config.sources import (
    CONFIG_FILE,
    Setting,
    Settings,
    catalogue,
    environment_over,
    environment_with,
    load,
)

__all__ = [
    "CONFIG_FILE",
    "Choice",
    "RuntimeSettings",
    "SandboxSettings",
    "Setting",
    "Settings",
    "catalogue",
    "environment_over",
    "environment_with",
    "load",
]
