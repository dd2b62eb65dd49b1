"""The same servers for clients that present a credential, which the sandbox does not have."""

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
from tests.egress.clients.certificate import Certificate
from tests.egress.clients.internet import Finished, Inside, Internet
from tests.egress.clients.web import serving
from tests.sandboxes.inside import Sandbox

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


async def logged_in(
    run: Sandbox, world: Internet, certificate: Certificate, host: str, command: str
) -> Finished:
    """Run a command in a sandbox whose variable TOKEN has the placeholder of a secret of the host."""
    authority = Authority()
    secret = DomainSecret(host, "TOKEN", PLACEHOLDER, VALUE)
    trust = partial(ssl.create_default_context, cafile=str(certificate.authority))
    await equip(run.channel, [secret], authority)
    termination = Termination([secret], authority, trust)
    return await Inside(run, world)(command, host, termination=termination)
