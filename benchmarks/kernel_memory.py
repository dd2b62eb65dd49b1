"""What a long notebook costs the kernel's memory, and what a flood of output costs kernel and notebook.

    python -m benchmarks.kernel_memory [--turns 500] [--gigabytes 1] [--json]

The kernel is the real one, over bubblewrap, driven as JupyterLab drives it: each turn has a live view. Growth
is counted in resident memory, from the 100th turn to the last, and over the turn that prints.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from agent_kernel.config import RuntimeSettings

SPEC = Path(__file__).parents[1] / "agent_kernel" / "kernel" / "spec"
WARM = 100
"""Turns before growth is counted: caches fill, allocators settle."""

COMMANDS = ("true", "echo $((N += 1))", "seq 1 200", "printf '\\033[31mred\\033[0m\\n' >&2; exit 3")


@dataclass(frozen=True)
class Growth:
    """Megabytes of resident memory, and of what the notebook file holds."""

    before: float
    after: float
    stored: float
    seconds: float

    @property
    def grown(self) -> float:
        """How much more it is."""
        return self.after - self.before


class MeasuredKernel:
    """A kernel, and a client that keeps of its outputs only how large they are."""

    def __init__(self, manager: KernelManager) -> None:
        self.client: BlockingKernelClient = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)
        self.process = psutil.Process(manager.provisioner.process.pid)  # type: ignore[union-attr]

    @property
    def megabytes(self) -> float:
        """Resident now."""
        return float(self.process.memory_info().rss) / 1e6

    def run(self, code: str, cell_id: str) -> float:
        """Run a cell as JupyterLab does; returns the megabytes of its final outputs in a notebook file."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        request = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id})
        self.client.shell_channel.send(request)
        sent = request["header"]["msg_id"]
        stored = 0
        while True:
            message: dict[str, Any] = self.client.get_iopub_msg(timeout=600)
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, said = message["msg_type"], message["content"]
            if kind == "clear_output":
                stored = 0
            elif kind == "error":
                raise RuntimeError(f"The cell failed: {said['evalue']}")
            elif kind in ("display_data", "stream"):
                stored += len(json.dumps(said, ensure_ascii=False).encode())
            elif kind == "status" and said["execution_state"] == "idle":
                return stored / 1e6


@contextmanager
def measured_kernel(folder: Path, toolbox: Path) -> Iterator[MeasuredKernel]:
    """A kernel of this interpreter's, with a data folder of its own below `folder`."""
    data = folder / "data"
    data.mkdir()
    (data / "toolbox").symlink_to(toolbox)
    spec = json.loads((SPEC / "kernel.json").read_text())
    spec["argv"][0] = sys.executable
    spec["env"] = {"AGENT_KERNEL_DATA_DIR": str(data), "AGENT_KERNEL_SANDBOX": "bubblewrap"}
    (folder / "kernels" / "agent").mkdir(parents=True)
    (folder / "kernels" / "agent" / "kernel.json").write_text(json.dumps(spec))
    manager = KernelManager(kernel_name="agent")
    manager.kernel_spec_manager.kernel_dirs = [str(folder / "kernels")]
    manager.start_kernel(cwd=str(folder), env=os.environ | {"JUPYTER_CONFIG_DIR": str(folder / "config")})
    try:
        kernel = MeasuredKernel(manager)
        yield kernel
        kernel.client.stop_channels()
    finally:
        manager.shutdown_kernel()
        manager.cleanup_resources()


def turns(kernel: MeasuredKernel, count: int, warm: int = WARM) -> Growth:
    """Growth over `count` turns after the first `warm`."""
    for number in range(warm):
        kernel.run("!" + COMMANDS[number % len(COMMANDS)], f"cell-{number}")
    before, began = kernel.megabytes, time.perf_counter()
    stored = sum(
        kernel.run("!" + COMMANDS[number % len(COMMANDS)], f"more-{number}") for number in range(count)
    )
    return Growth(before, kernel.megabytes, stored, time.perf_counter() - began)


def flood(kernel: MeasuredKernel, byte_count: int) -> Growth:
    """Growth over one turn that prints so many bytes, in lines."""
    kernel.run("!seq 1 20000", "warm")
    before, began = kernel.megabytes, time.perf_counter()
    line = "one line of a very long story, and there is no end to it; " * 2
    stored = kernel.run(f"!yes '{line}' | head -c {byte_count}", "flood")
    return Growth(before, kernel.megabytes, stored, time.perf_counter() - began)


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kernel_memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--turns", type=int, default=500)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    toolbox = RuntimeSettings().data_path() / "toolbox"
    with tempfile.TemporaryDirectory() as folder, measured_kernel(Path(folder), toolbox) as kernel:
        found = {
            "turns": turns(kernel, options.turns - WARM),
            "flood": flood(kernel, int(options.gigabytes * 1e9)),
        }
    for name, growth in found.items():
        if options.json:
            print(json.dumps({"what": name, **asdict(growth), "grown": growth.grown}))
        else:
            print(
                f"{name:<8}{growth.before:8.1f} MB before{growth.after:8.1f} MB after{growth.grown:+8.1f} MB"
                f"{growth.stored:8.2f} MB in the notebook{growth.seconds:8.1f} s"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
