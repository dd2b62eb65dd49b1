"""What the HTTPS server of the tests serves to real clients: echoes, a package index, a git repository."""

from __future__ import annotations

import base64
import gzip
import io
import os
import subprocess
import zipfile
from pathlib import Path

import brotli
import zstandard

from tests.egress.tls.outside import VALUE, Given, Got

_ENCODE = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
LOGIN = b"Basic " + base64.b64encode(f"user:{VALUE}".encode())
_WHEEL = "tiny_secret-1.0-py3-none-any.whl"


def wheel() -> bytes:
    """A wheel with one module."""
    content = io.BytesIO()
    info = "tiny_secret-1.0.dist-info"
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("tiny_secret.py", "print('installed')\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-secret\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(
            f"{info}/RECORD", f"tiny_secret.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return content.getvalue()


class Site:
    """The pages, for clients that present the value. `repository` is a bare git repository."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "repository.git"
        self._wheel = wheel()
        git = ["git", "-c", "init.defaultBranch=main"]
        subprocess.run([*git, "init", "-q", "--bare", self.repository], check=True)
        subprocess.run(["git", "-C", self.repository, "config", "http.receivepack", "true"], check=True)

    def __call__(self, got: Got) -> Given:
        path = got.target.decode().partition("?")[0]
        if path.startswith("/echo"):
            return self._echo(got)
        if got.headers.get(b"authorization") != LOGIN:
            asked = [(b"www-authenticate", b'Basic realm="here"'), (b"content-length", b"0")]
            return Given(401, asked, [])
        if path.startswith("/simple/"):
            page = f'<a href="/files/{_WHEEL}">{_WHEEL}</a>'.encode()
            return Given(headers=[(b"content-type", b"text/html")], pieces=[page])
        if path.startswith("/files/"):
            return Given(headers=[(b"content-length", b"%d" % len(self._wheel))], pieces=[self._wheel])
        return self._git(got)

    @staticmethod
    def _echo(got: Got) -> Given:
        """Repeat the request, in a coding that the client accepts; /echo/x asks for the coding x."""
        wanted = got.target.decode().partition("/echo/")[2]
        body = b"".join(b"%s: %s\n" % each for each in sorted(got.headers.items()))
        headers = [(b"x-echo", got.headers.get(b"authorization", b"none"))]
        if wanted in _ENCODE:
            return Given(
                headers=[*headers, (b"content-encoding", wanted.encode())], pieces=[_ENCODE[wanted](body)]
            )
        return Given(status=404 if wanted == "error" else 200, headers=headers, pieces=[body])

    def _git(self, got: Got) -> Given:
        """Serve git's smart protocol, by git's own program."""
        path, _, query = got.target.decode().partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.repository.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": got.method.decode(),
            "CONTENT_TYPE": got.headers.get(b"content-type", b"").decode(),
            "CONTENT_LENGTH": str(len(got.body)),
            "HTTP_CONTENT_ENCODING": got.headers.get(b"content-encoding", b"").decode(),
            "REMOTE_USER": "user",
            "REMOTE_ADDR": "127.0.0.1",
        }
        ran = subprocess.run(
            ["git", "http-backend"], input=got.body, env=environment, capture_output=True, check=True
        )
        head, _, body = ran.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")]
        fields = {name.lower(): value for name, value in headers}
        status = int(fields.pop(b"status", b"200").split()[0])
        return Given(status, list(fields.items()), [body] if body else [])
