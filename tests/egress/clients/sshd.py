"""OpenSSH's server on a free port of loopback: one key may log in, and runs only what Git needs."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.logging_server import logging_server

SSHD = "/usr/sbin/sshd"

SETTINGS = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""
ALLOWED = 'restrict,command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"" {key}'


@dataclass(frozen=True)
class SshServer:
    """A running server: its port, who logs in, the private key for it, and the server's public key."""

    port: int
    user: str
    key: bytes
    host_key: str


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Run a server, and end it with its sessions."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized").write_text(ALLOWED.format(key=(folder / "user.pub").read_text()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's server gives up its rights in there

    def start(port: int) -> subprocess.Popen[str]:
        (folder / "settings").write_text(SETTINGS.format(port=port, folder=folder))
        command = ["setpriv", "--pdeathsig", "TERM", SSHD, "-D", "-e", "-f", str(folder / "settings")]
        return subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    with logging_server(start, "Server listening") as server:
        host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        yield SshServer(server.port, getpass.getuser(), (folder / "user").read_bytes(), host_key)
