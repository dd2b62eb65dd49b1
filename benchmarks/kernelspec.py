"""A kernelspec for benchmarks: the real kernel over bubblewrap, with a scripted model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from agent_kernel.config import RuntimeSettings

CHECKOUT = Path(__file__).parents[1]


def write_kernelspec(root: Path, script: dict[str, Any]) -> None:
    """Write the kernelspec `agent` below `root`, whose model plays the script."""
    (root / "script.yaml").write_text(yaml.safe_dump(script))
    folder = root / "share" / "kernels" / "agent"
    folder.mkdir(parents=True)
    spec = json.loads((CHECKOUT / "agent_kernel" / "kernel" / "spec" / "kernel.json").read_text())
    spec["argv"][0] = sys.executable
    data = root / "data"
    data.mkdir()
    (data / "toolbox").symlink_to(RuntimeSettings().data_path() / "toolbox")
    spec["env"] = {
        "AGENT_KERNEL_DATA_DIR": str(data),
        "AGENT_KERNEL_SANDBOX": "bubblewrap",
        "AGENT_KERNEL_MODEL": f"scripted/{root / 'script.yaml'}",
        "PYTHONPATH": str(CHECKOUT),
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
