"""A certificate authority of the tests, and a certificate of a server with many names."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

REQUEST = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Certificate:
    """The files: the authority, the server's certificate and its key."""

    authority: Path
    chain: Path
    key: Path

    def context(self, *protocols: str) -> ssl.SSLContext:
        """Return the TLS settings of a server that offers these protocols."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context


def make_certificate(folder: Path, names: Iterable[str]) -> Certificate:
    authority, secret = folder / "authority.pem", folder / "authority.key"
    made = Certificate(authority, folder / "server.pem", folder / "server.key")
    _make("-subj", "/CN=Authority of the tests", "-out", authority, "-keyout", secret)
    listed = ",".join(f"DNS:{name}" for name in names)
    options = ["-addext", f"subjectAltName={listed}", "-addext", "basicConstraints=critical,CA:FALSE"]
    signed: list[str | Path] = ["-CA", authority, "-CAkey", secret, "-subj", "/CN=Server"]
    _make(*signed, *options, "-out", made.chain, "-keyout", made.key)
    return made


def _make(*options: str | Path) -> None:
    subprocess.run([*REQUEST, "-days", "2", *options], check=True, capture_output=True)
