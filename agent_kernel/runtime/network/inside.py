"""What a sandbox gets whose TLS is read: the certificate authority to trust, and variables of secrets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.errors import SandboxFileError
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.launch import ENVIRONMENT, STATE
from agent_kernel.sandboxes.network import variables

if TYPE_CHECKING:
    from agent_kernel.egress.tls.authority import Authority

FOLDER = f"{STATE}/certificates"
BUNDLE = f"{FOLDER}/bundle.pem"
"""The system's authorities and the container's."""
OWN = f"{FOLDER}/sandbox.pem"
"""The container's alone, for programs that add it to their own."""
TRUST_STORE = f"{FOLDER}/truststore.p12"
"""The same as the bundle, for Java."""
WGET = f"{FOLDER}/wgetrc"
_PASSWORD = "changeit"  # noqa: S105 (Java wants one; nothing in the file is secret)

SYSTEM_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep their authorities in one file. The container's is added there if it can be written."""

TRUST = {
    **dict.fromkeys(
        (
            "SSL_CERT_FILE",  # OpenSSL, Python, uv, Go, Ruby, PHP
            "REQUESTS_CA_BUNDLE",
            "PIP_CERT",
            "CURL_CA_BUNDLE",  # curl, R
            "GIT_SSL_CAINFO",
            "CARGO_HTTP_CAINFO",
            "AWS_CA_BUNDLE",
            "HTTPLIB2_CA_CERTS",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        ),
        BUNDLE,
    ),
    "WGETRC": WGET,
    "NODE_EXTRA_CA_CERTS": OWN,
    "DENO_CERT": OWN,
    "JAVA_TOOL_OPTIONS": f"-Djavax.net.ssl.trustStore={TRUST_STORE} -Djavax.net.ssl.trustStoreType=PKCS12"
    f" -Djavax.net.ssl.trustStorePassword={_PASSWORD}",
}
"""The variables by which programs find the authorities to trust."""

TAKEN = frozenset(
    name.upper()
    for name in (
        *ENVIRONMENT,
        *variables(),
        *TRUST,
        *("PATH", "HOME", "PWD", "SHELL", "USER", "IFS", "ENV", "TMPDIR", "PYTHONPATH", "PIP_TARGET"),
        *("BASH_ENV", "BASHOPTS", "SHELLOPTS", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "UID", "EUID"),
    )
)
"""Variables that no secret can have as its name."""

_MOST_ROOTS = 8 << 20
_BEGIN, _END = b"# agent-kernel sandbox: begin\n", b"# agent-kernel sandbox: end\n"
_BLOCK = re.compile(re.escape(_BEGIN) + b".*?" + re.escape(_END), re.DOTALL)


async def equip(channel: Channel, secrets: Iterable[DomainSecret], authority: Authority) -> None:
    """Install the authority and set the variables of secrets in a sandbox, in place of earlier ones.

    Raises `SandboxFileError`, `CapabilityMissing`, and as any method of the channel.
    """
    store, roots = await _roots(channel)
    block = _BEGIN + authority.pem + _END
    await _put(channel, OWN, authority.pem)
    await _put(channel, BUNDLE, roots + block)
    await _put(channel, TRUST_STORE, await asyncio.to_thread(_trust_store, roots + authority.pem))
    await _put(channel, WGET, f"ca_certificate = {BUNDLE}\n".encode())
    if store is not None:
        with contextlib.suppress(SandboxFileError):  # read-only in many sandboxes; the variables name ours
            await _put(channel, store, roots + block)
    await channel.set_variables({**TRUST, **{each.name: each.placeholder for each in secrets}})


async def change(
    channel: Channel, earlier: Iterable[DomainSecret], now: Iterable[DomainSecret], *, trusts: bool
) -> None:
    """Remove from a sandbox the variables of secrets that there are no more. Raises as `equip`.

    Without `trusts` those that name the certificate authority are removed too.
    """
    kept = {each.name for each in now}
    gone: dict[str, str | None] = {each.name: None for each in earlier if each.name not in kept}
    if not trusts:
        gone |= dict.fromkeys(TRUST)
    if gone:
        await channel.set_variables(gone)


async def _roots(channel: Channel) -> tuple[str | None, bytes]:
    """Return the file with the sandbox's own authorities and what it holds; else what Python's has."""
    for path in SYSTEM_STORES:
        with contextlib.suppress(SandboxFileError):
            content = bytearray()
            async for piece in channel.get(path):
                content += piece
                if len(content) > _MOST_ROOTS:
                    raise SandboxFileError(f"{path} is too large.")
            roots = _BLOCK.sub(b"", bytes(content))
            return path, roots if roots.endswith(b"\n") or not roots else roots + b"\n"
    import certifi

    return None, certifi.contents().encode()


async def _put(channel: Channel, path: str, content: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(content), 1 << 16):
            yield content[at : at + (1 << 16)]

    await channel.put(path, pieces())


def _trust_store(pem: bytes) -> bytes:
    """Return certificates as a store that Java reads. Those that cannot be read are left out."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    found = []
    for number, text in enumerate(re.findall(_CERTIFICATE, pem)):
        with contextlib.suppress(ValueError):
            der = base64.b64decode(text)
            serial = _SERIAL.match(der)
            if serial is None or serial[1] > b"\x7f" or serial[0].endswith(b"\x01\0"):
                continue  # not positive: some old authorities have such, and the library warns of them
            made = x509.load_der_x509_certificate(der)
            found.append(pkcs12.PKCS12Certificate(made, b"authority-%d" % number))
    return pkcs12.serialize_java_truststore(found, BestAvailableEncryption(_PASSWORD.encode()))


_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SERIAL = re.compile(rb"\x30\x82..\x30\x82..\xa0\x03\x02\x01\x02\x02.(.)", re.DOTALL)
"""The beginning of a certificate in DER up to the first byte of its serial number."""
