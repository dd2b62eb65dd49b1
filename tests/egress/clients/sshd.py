"""OpenSSH's server on a free port of loopback: one key may log in, and runs only what Git needs."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "settings").write_text(SETTINGS.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's server gives up its rights in there
    command = ["setpriv", "--pdeathsig", "TERM", SSHD, "-D", "-e", "-f", str(folder / "settings")]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert server.stderr is not None
    try:
        drained = _until_it_listens(server)
        host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        yield SshServer(port, getpass.getuser(), (folder / "user").read_bytes(), host_key)
    finally:
        server.terminate()
        server.wait(30)
    drained.join()
    server.stderr.close()


def _until_it_listens(server: subprocess.Popen[str]) -> threading.Thread:
    """Wait for the line that says so; return the thread that reads what it logs later."""
    assert server.stderr is not None
    lines = []
    for line in server.stderr:
        lines.append(line)
        if "Server listening" in line:
            drain = threading.Thread(target=server.stderr.read)
            drain.start()
            return drain
    raise AssertionError("".join(lines))
