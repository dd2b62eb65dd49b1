"""The client programs under test: where each goes, and what it says when that host is refused.

Bubblewrap shows the host's programs. Docker's sandboxes get the same ones: the host's `/usr` as a mount.
"""

from __future__ import annotations

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.egress.clients import scripts
from tests.egress.clients.scripts import GO, JAVA, PYTHON

PACKAGES = "/usr/lib/python3/dist-packages"
REFUSED = "{host}:{port} was refused: not in the allowlist."
"""The reason. Some clients show it, as the proxy answers with it; others show only that it refused."""


@dataclass(frozen=True)
class Client:
    """A program, by the name that the documentation has, and how to try it.

    `command` reaches for `host`. `says` is part of its own output when that is refused. `file` exists on a
    machine that has the program, which comes with the Debian package `package`.
    """

    name: str
    host: str
    command: str
    says: str
    file: str
    package: str
    port: int = 443
    with_secret: str = ""
    """The command that sends a secret, if it is not `command` with credentials in its addresses."""

    @property
    def reason(self) -> str:
        return REFUSED.format(host=self.host, port=self.port)

    @property
    def explains(self) -> bool:
        """Whether the client's own output has the host and the reason."""
        return self.reason in self.says

    def command_with(self, placeholder: str) -> str:
        """Return the command that logs in with the placeholder of a secret, which is also in `$TOKEN`."""
        return self.with_secret or self.command.replace("https://", f"https://user:{placeholder}@")

    @property
    def logs_in(self) -> bool:
        """Whether it can send a secret, which needs HTTPS."""
        return self.port == 443

    @property
    def installed(self) -> bool:
        return Path(self.file).exists()

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def cargo_root() -> Path:
    """Return the folder with Cargo's `bin`: of rustup's toolchain, or the system's."""
    home = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")
    found = sorted(path.parents[1] for path in home.glob("toolchains/*/bin/cargo"))
    return found[-1] if found else Path("/usr")


def _tunnel(host: str, before: str = "Tunnel connection failed: 403 ") -> str:
    return before + REFUSED.format(host=host, port=443)


CARGO_ROOT = cargo_root()
CARGO = f"{CARGO_ROOT}/bin/cargo"
UV = f"{sysconfig.get_path('scripts')}/uv"
CLIENTS = (
    Client("pip", "index.test", scripts.PIP, _tunnel("index.test"), f"{PACKAGES}/pip", "python3-pip"),
    Client("uv", "index.test", scripts.UV, "https://index.test/simple/tiny/", UV, "uv"),
    Client(
        "npm", "npm.test", scripts.NPM, _tunnel("npm.test", "403 "), "/", "npm",
        with_secret=scripts.NPM_LOGIN,
    ),
    Client(
        "git over HTTPS", "git.test", scripts.GIT_HTTPS, "unable to access 'https://git.test/tiny.git/'",
        "/usr/bin/git", "git",
    ),
    Client(
        "git over SSH", "git.test", scripts.GIT_SSH, "Could not read from remote repository", "/usr/bin/ssh",
        "openssh-client", port=22,
    ),
    Client(
        "curl", "files.test", scripts.CURL, "CONNECT tunnel failed, response 403", "/usr/bin/curl", "curl"
    ),
    Client(
        "curl without proxy", "files.test", scripts.CURL_DIRECT, "curl: (", "/usr/bin/curl", "curl"
    ),
    Client(
        "wget", "files.test", scripts.WGET, _tunnel("files.test", "Proxy tunneling failed: "),
        "/usr/bin/wget", "wget", with_secret=scripts.WGET_LOGIN,
    ),
    Client(
        "Python urllib", "files.test", scripts.URLLIB, _tunnel("files.test"), PYTHON, "python3",
        with_secret=scripts.URLLIB_LOGIN,
    ),
    Client(
        "Python requests", "files.test", scripts.REQUESTS, _tunnel("files.test"), f"{PACKAGES}/requests",
        "python3-requests",
    ),
    Client(
        "Python httpx", "files.test", scripts.HTTPX, _tunnel("files.test", "httpx.ProxyError: 403 "),
        f"{PACKAGES}/httpx", "python3-httpx",
    ),
    Client(
        "Python aiohttp", "files.test", scripts.AIOHTTP, _tunnel("files.test", "403, message='"),
        f"{PACKAGES}/aiohttp", "python3-aiohttp",
    ),
    Client(
        "psycopg", "db.test", scripts.PSYCOPG, "psycopg.OperationalError: connection failed",
        f"{PACKAGES}/psycopg", "python3-psycopg", port=5432,
    ),
    Client(
        "R", "cran.test", scripts.R, "cannot open URL 'https://cran.test/src/contrib/PACKAGES'",
        "/usr/bin/Rscript", "r-base-core",
    ),
    Client("Java", "files.test", scripts.JAVA_FETCH, "Exception in thread", JAVA, "default-jre-headless"),
    Client(
        "cargo", "cargo.test", scripts.CARGO_FETCH, "CONNECT tunnel failed, response 403", CARGO, "cargo",
        with_secret=scripts.CARGO_FETCH,
    ),
    Client("Go", "go.test", scripts.GO_DOWNLOAD, "https://go.test/example.org/tiny", GO, "golang-go"),
)  # fmt: skip

FAST_ON_DOCKER = ("pip", "git-over-SSH", "curl", "psycopg")
"""Tried on both backends in every run. The others run the same programs on bubblewrap there."""
