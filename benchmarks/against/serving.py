"""A build's server, the model before it, and the toolbox of its sandboxes."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.against.builds import HERE, Build

END_SECONDS = 60


@contextmanager
def upstream(build: Build, *milliseconds: str) -> Iterator[str]:
    """Run the model of `benchmarks/turns/upstream.py`, always this build's own; yield its URL.

    It answers at once, or takes so many milliseconds until the first word and between two words.
    """
    program = str(HERE / "benchmarks" / "turns" / "upstream.py")
    with subprocess.Popen(
        [build.python, program, *milliseconds], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def serving(
    build: Build, folder: str, *arguments: str, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """Run `agent-kernel serve` of a build on bubblewrap; yield its base URL and its process id."""
    data = tempfile.mkdtemp(dir=folder)
    Path(data, "toolbox").symlink_to(toolbox(build))
    command = [build.python, "-m", "agent_kernel", "serve", "--port", "0", "--data-dir", data, *arguments]
    process = subprocess.Popen(
        command,
        cwd=build.checkout,
        env={**build.environment(), "AGENT_KERNEL_SANDBOX": "bubblewrap", **(settings or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[1].rstrip("/") + "/", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(END_SECONDS)
        process.stdout.close()


def toolbox(build: Build) -> Path:
    """Prepare the toolbox that this build wants; return the folder of all of them."""
    from agent_kernel.config import RuntimeSettings

    build.output("-m", "agent_kernel", "image", "build", "--sandbox", "bubblewrap", "--if-missing")
    return RuntimeSettings().data_path() / "toolbox"
