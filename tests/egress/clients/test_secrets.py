"""Real clients log in with a secret: the server gets it, and the sandbox has a placeholder only."""

from __future__ import annotations

import pytest

from tests.egress.clients.catalogue import CLIENTS, Client
from tests.egress.clients.certificate import Certificate
from tests.egress.clients.internet import Internet
from tests.egress.clients.login import PLACEHOLDER, VALUE, guarded, logged_in
from tests.egress.clients.sites import WORD
from tests.sandboxes.shared import SHARED, SharedSandbox

__all__ = ["guarded"]

pytestmark = SHARED


@pytest.mark.parametrize("client", [each for each in CLIENTS if each.logs_in], ids=str, indirect=True)
@pytest.mark.on_docker
async def test_client_logs_in_with_a_secret(
    client_sandbox: SharedSandbox, client: Client, guarded: Internet, certificate: Certificate
) -> None:
    run = await client_sandbox.ready()
    done = await logged_in(run, guarded, certificate, client.host, client.command_with(PLACEHOLDER))
    assert (done.code, done.told) == (0, []), done.printed
    assert WORD in done.printed
    assert VALUE not in done.printed
