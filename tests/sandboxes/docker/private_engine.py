"""A Docker Engine of a test's own, to be killed, restarted and starved.

Ending the first process of its PID namespace ends the engine, its containers and their helpers together.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

SIZE = 4 << 30  # sparse: what is not written takes no space
START_SECONDS = 60.0
NEEDS = {
    "dockerd": "docker.io",
    "mkfs.btrfs": "btrfs-progs",
    "nsenter": "util-linux",
    "mount": "mount",
    "fallocate": "util-linux",
}


def lacking() -> str | None:
    """Why there can be none here, with what mends it."""
    if os.geteuid() != 0:
        return "An engine of the test's own needs root."
    packages = sorted({package for program, package in NEEDS.items() if not shutil.which(program)})
    if packages:
        return f"Needs: apt-get install {' '.join(packages)}"
    if not Path("/dev/loop-control").exists():
        return "Needs loop devices."
    return None


FIRST = """
import signal, subprocess, sys
subprocess.run(["mount", "-o", "loop", *sys.argv[1:]], check=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaps what is left to it
print("mounted", flush=True)
signal.pause()
"""
"""The first process of the engine's namespaces."""

PACK = r"""
programs="bash python3 cat cp head ls mkdir rm seq sleep true"
files=$(for each in $programs; do readlink -f /usr/bin/$each; echo /usr/bin/$each; done)
ctypes=$(ls /usr/lib/python3.[0-9]*/lib-dynload/_ctypes.*)
libraries=$(ldd $files $ctypes | grep -o '/[^ ]*\.so[^ ]*')
real=$(readlink -f $libraries)
folders=$(readlink -f $(dirname $libraries) | sort -u)
linked=$(for folder in $folders; do for each in $libraries; do echo $folder/${each##*/}; done; done)
ls -d /bin /lib /lib64 $files $real $linked /usr/lib/python3.[0-9]* 2>/dev/null | sort -u |
  tar --create --exclude=__pycache__ --exclude=dist-packages --files-from=- 2>/dev/null
"""
"""What a sandbox needs and no more, as a tar."""


class PrivateEngine:
    """The engine in `folder`, which is empty at first; its disk is a btrfs, whose driver keeps limits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._log = folder / "log"
        self.url = f"unix://{folder}/socket"
        self._dockerd: subprocess.Popen[bytes] | None = None
        disk = folder / "disk"
        with disk.open("wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.btrfs", "--quiet", str(disk)], check=True, stdout=subprocess.DEVNULL)
        self._data.mkdir()
        self._first = subprocess.Popen(
            [
                *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *(sys.executable, "-c", FIRST, str(disk), str(self._data)),
            ],
            stdout=subprocess.PIPE,
        )
        assert self._first.stdout is not None
        assert self._first.stdout.readline() == b"mounted\n"
        self._inside = psutil.Process(self._first.pid).children()[0].pid
        # Beside the engine, as a distribution's services are: it lives on when the engine crashes.
        self._containerd = folder / "containerd.sock"
        (folder / "containerd.toml").write_text(
            f'version = 2\nroot = "{folder}/containerd"\nstate = "{folder}/containerd-state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{self._containerd}"\n'
        )
        with self._log.open("ab") as log:
            command = self.enter("containerd", f"--config={folder}/containerd.toml")
            self._helper = subprocess.Popen(command, stdout=log, stderr=log)

    def enter(self, *command: str) -> list[str]:
        """The command line for `command` in the engine's namespaces."""
        return ["nsenter", f"--target={self._inside}", "--mount", "--net", "--pid", *command]

    def start(self, *, live_restore: bool) -> None:
        """Start it and wait until it answers."""
        config = self._folder / "daemon.json"
        config.write_text(json.dumps({"live-restore": live_restore}))
        arguments = {
            "config-file": config,
            "data-root": self._data,
            "exec-root": self._folder / "exec",
            "pidfile": self._folder / "pid",
            "host": self.url,
            "containerd": self._containerd,
            "storage-driver": "btrfs",
        }
        options = [f"--{name}={value}" for name, value in arguments.items()]
        with self._log.open("ab") as log:
            self._dockerd = subprocess.Popen(self.enter("dockerd", *options), stdout=log, stderr=log)
        watchdog = threading.Timer(START_SECONDS, self._dockerd.kill)
        watchdog.start()
        try:
            while not self._answers():
                assert self._dockerd.poll() is None, self._log.read_text()[-2000:]
                time.sleep(0.05)
        finally:
            watchdog.cancel()

    def _answers(self) -> bool:
        """Whether it answers; asked by hand, because docker-py forgets to close what was refused."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self._folder / "socket"))
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return connection.recv(1) != b""
            except OSError:
                return False

    def kill(self) -> None:
        """As a crash does: containers go on if it was started with live restore."""
        assert self._dockerd is not None
        (self._daemon() or psutil.Process(self._dockerd.pid)).kill()
        self._dockerd.wait()
        (self._folder / "pid").unlink()

    def _daemon(self) -> psutil.Process | None:
        assert self._dockerd is not None
        return next(iter(psutil.Process(self._dockerd.pid).children()), None)

    def load(self, image: str) -> str:
        """Make a small image out of a large one of the engine of the other tests, and return its name."""
        packing = subprocess.Popen(
            ["docker", "run", "--rm", "--network=none", image, "bash", "-c", PACK], stdout=subprocess.PIPE
        )
        loading = ["docker", "--host", self.url, "import", "-", "small:1"]
        subprocess.run(loading, stdin=packing.stdout, check=True, stdout=subprocess.DEVNULL)
        assert packing.stdout is not None
        packing.stdout.close()
        assert packing.wait() == 0
        return "small:1"

    def fill(self) -> Path:
        """Leave no space on its disk; the returned file takes it."""
        free = shutil.disk_usage(f"/proc/{self._inside}/root{self._data}").free
        subprocess.run(
            self.enter("fallocate", "-l", str(free - (2 << 20)), f"{self._data}/filler"), check=True
        )
        subprocess.run(
            self.enter("sh", "-c", f"head -c 10M /dev/zero >{self._data}/rest"),
            check=False,
            stderr=subprocess.DEVNULL,
        )
        return self._data / "filler"

    def empty(self) -> None:
        """Undo `fill`."""
        subprocess.run(self.enter("rm", "-f", f"{self._data}/filler", f"{self._data}/rest"), check=True)

    def cover(self) -> None:
        """Put a read-only file system where it keeps its containers."""
        arguments = ["-t", "tmpfs", "-o", "ro", "none", str(self._data / "containers")]
        subprocess.run(self.enter("mount", *arguments), check=True)

    def uncover(self) -> None:
        """Undo `cover`."""
        subprocess.run(self.enter("umount", str(self._data / "containers")), check=True)

    def end(self) -> None:
        """End it and all that it started."""
        if self._dockerd is not None and self._dockerd.poll() is None:
            daemon = self._daemon()
            (daemon or self._dockerd).terminate()
            self._dockerd.wait()
        self._first.kill()
        self._first.wait()
        self._helper.wait()
        assert self._first.stdout is not None
        self._first.stdout.close()
