"""Kernel start to first idle, and memory there: ours against plain ipykernel, in one run.

    python benchmarks/kernel_start.py [--rounds N] [--bare] [--json]

Both are started in turn by the same client. "First idle" is the reply to the first kernel_info_request: what
a front end waits for. Memory is the process's resident set then. The budget is 1.5 times for both; the exit
status is 1 where it is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

BUDGET = 1.5
SPEC = Path(__file__).parents[1] / "agent_kernel" / "kernel" / "spec" / "kernel.json"
PLAIN = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
NOTHING = """
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
class Bare(Kernel):
    implementation, implementation_version, banner = "bare", "1", ""
    language_info = {"name": "text", "mimetype": "text/plain", "file_extension": ".txt"}
IPKernelApp.launch_instance(kernel_class=Bare)
"""
BARE = ["python", "-c", NOTHING, "-f", "{connection_file}"]


def resident(pid: int) -> int:
    """Bytes that the process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(name: str) -> tuple[float, int]:
    """Seconds to the first idle, and bytes in memory then."""
    manager = KernelManager(kernel_name=name)
    began = time.perf_counter()
    manager.start_kernel()
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        seconds = time.perf_counter() - began
        assert isinstance(manager.provisioner, LocalProvisioner)
        assert manager.provisioner.pid is not None
        return seconds, resident(manager.provisioner.pid)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def write_specs(root: Path) -> None:
    """Kernelspecs `plain`, `bare` and `agent` that run under this very Python."""
    argv = {"plain": PLAIN, "bare": BARE, "agent": json.loads(SPEC.read_text())["argv"]}
    for name, words in argv.items():
        folder = root / "kernels" / name
        folder.mkdir(parents=True)
        spec = {"argv": [sys.executable, *words[1:]], "display_name": name, "language": "text"}
        (folder / "kernel.json").write_text(json.dumps(spec))


def run(rounds: int, *, bare: bool = False) -> dict[str, dict[str, float]]:
    """Medians of the kernels, and the ratios of ours to plain ipykernel's."""
    names = ("plain", "agent", "bare") if bare else ("plain", "agent")
    figures: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name, measured in figures.items():
            figure = measure(name)
            if number:  # the first round warms the disk's cache
                measured.append(figure)
    medians = {
        name: {
            "seconds": statistics.median(seconds for seconds, _ in measured),
            "megabytes": statistics.median(size for _, size in measured) / 1e6,
        }
        for name, measured in figures.items()
    }
    ratio = {unit: medians["agent"][unit] / medians["plain"][unit] for unit in ("seconds", "megabytes")}
    return {**medians, "ratio": ratio}


def main() -> int:
    """Measure, print, and compare with the budget."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", action="store_true", help="measure a kernel that can do nothing too")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        write_specs(Path(root))
        os.environ |= {"JUPYTER_PATH": root, "AGENT_KERNEL_DATA_DIR": root, "IPYTHONDIR": f"{root}/ipython"}
        found = run(arguments.rounds, bare=arguments.bare)
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        print(f"{'':<16}{'first idle':>12}{'memory':>12}")
        labels = {"plain": "ipykernel", "agent": "agent-kernel", "bare": "bare kernel"}
        for name, label in ((name, label) for name, label in labels.items() if name in found):
            print(f"{label:<16}{found[name]['seconds']:>10.2f} s{found[name]['megabytes']:>9.1f} MB")
        print(f"{'ratio':<16}{found['ratio']['seconds']:>11.2f}×{found['ratio']['megabytes']:>10.2f}×")
    return int(any(value > BUDGET for value in found["ratio"].values()))


if __name__ == "__main__":
    sys.exit(main())
