"""Real clients log in with a secret: the server gets it, and the sandbox has a placeholder only."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent_kernel.egress.tls.authority import Authority
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.egress.tls.termination import Termination
from agent_kernel.runtime.network.inside import equip
from tests.egress.clients.catalogue import CLIENTS, Client
from tests.egress.clients.certificate import Certificate
from tests.egress.clients.internet import Inside, Internet
from tests.egress.clients.sites import WORD
from tests.egress.clients.web import serving
from tests.sandboxes.shared import SHARED, SharedSandbox

pytestmark = SHARED

VALUE, PLACEHOLDER = "canary-value-0123456789", f"secret_{'5a' * 16}"
CREDENTIALS = (f"Bearer {VALUE}", f"Basic {base64.b64encode(f'user:{VALUE}'.encode()).decode()}")


@pytest.fixture(scope="module")
def guarded(sites: Path, certificate: Certificate) -> Iterator[Internet]:
    """The web sites by name, for clients that present the value."""
    world = Internet()
    with serving(sites, certificate.context(), CREDENTIALS) as server:
        for name in server.hosts:
            world.add(name, 443, server.port)
        yield world


@pytest.mark.parametrize("client", [each for each in CLIENTS if each.logs_in], ids=str, indirect=True)
async def test_client_logs_in_with_a_secret(
    client_sandbox: SharedSandbox, client: Client, guarded: Internet, certificate: Certificate
) -> None:
    run, authority = await client_sandbox.ready(), Authority()
    secret = DomainSecret(client.host, "TOKEN", PLACEHOLDER, VALUE)
    trust = partial(ssl.create_default_context, cafile=str(certificate.authority))
    termination = Termination([secret], authority, trust)
    await equip(run.channel, [secret], authority)
    done = await Inside(run, guarded)(client.command_with(PLACEHOLDER), client.host, termination=termination)
    assert (done.code, done.told) == (0, []), done.printed
    assert WORD in done.printed
    assert VALUE not in done.printed
