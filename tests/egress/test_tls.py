"""Real TLS clients and servers through a broker: what is for the allowed name passes untouched."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.egress.broker import Broker
from tests.conftest import Missing
from tests.egress.inside import program
from tests.egress.test_broker import Outside, echo

NAME = "web.internal"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory, missing: Missing) -> tuple[Path, Path]:
    """A certificate for the name, which is its own authority, and its key."""
    if not shutil.which("openssl"):
        missing("openssl is missing: apt-get install openssl")
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    names = ["-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run([*command, *names, "-out", made, "-keyout", key], check=True, capture_output=True)
    return made, key


class SecureServer(Outside):
    """A TLS server that requires a client's certificate and speaks h2."""

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        super().__init__()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.context.load_verify_locations(certificate[0])
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.set_alpn_protocols(["h2"])
        self.client = ssl.create_default_context(cafile=str(certificate[0]))
        self.client.load_cert_chain(*certificate)
        self.client.set_alpn_protocols(["h2", "http/1.1"])
        self.names: list[str | None] = []
        self.context.sni_callback = lambda connection, name, context: self.names.append(name)

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]


@pytest.fixture
async def secure(certificate: tuple[Path, Path]) -> AsyncIterator[SecureServer]:
    server = SecureServer(certificate)
    await server.start()
    yield server
    server.server.close()
    await server.server.wait_closed()


async def talk(broker: Broker, context: ssl.SSLContext, port: int = 443) -> ssl.SSLObject:
    """Exchange a megabyte with the server, and return the client's view of the connection."""
    async with program(broker, NAME, port) as inside:
        reader, writer = await asyncio.open_connection(sock=inside.outside, ssl=context, server_hostname=NAME)
        sent = bytes(range(256)) * 4096
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
        writer.close()
        await writer.wait_closed()
        await inside.task
    return secured


@pytest.mark.parametrize(
    ("version", "retry"),
    [(ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, False), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.parametrize("port", [443, 8443])
async def test_tls_passes_untouched(
    secure: SecureServer, version: ssl.TLSVersion, retry: bool, port: int
) -> None:
    secure.client.minimum_version = secure.client.maximum_version = version
    if retry:
        secure.context.set_ecdh_curve("secp384r1")  # the client guesses another one: it sends two hellos
    secured = await talk(secure.broker(f"tcp://{NAME}:{port}"), secure.client, port)
    assert secured.selected_alpn_protocol() == "h2"
    assert secure.names == [NAME] * (2 if retry else 1)
    assert (secure.record.decision, secure.record.failure) == ("allowed", None)
    assert secure.record.sent > 1 << 20


async def test_resumed_session_passes(secure: SecureServer) -> None:
    secure.client.minimum_version = secure.client.maximum_version = ssl.TLSVersion.TLSv1_2
    broker = secure.broker(f"tcp://{NAME}:443")
    session = None
    for turn in range(20):  # the first record after the hello is encrypted: its first byte can be any
        async with program(broker, NAME, 443) as inside:
            reader, writer = await inside.streams()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = secure.client.wrap_bio(incoming, outgoing, server_hostname=NAME, session=session)
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(1 << 16))
            assert client.session_reused == (turn > 0)
            session = client.session
            writer.close()


async def test_another_name_never_reaches_the_server(secure: SecureServer) -> None:
    secure.client.check_hostname = False
    secure.serve = echo
    async with program(secure.broker(f"tcp://{NAME}:443"), NAME, 443) as inside:
        with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
            await asyncio.open_connection(
                sock=inside.outside, ssl=secure.client, server_hostname="evil.example"
            )
        await inside.task
    assert (secure.names, secure.accepted) == ([], 0)
