"""Real clients in real sandboxes: each reaches its server by name, and says so when it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.egress.clients.catalogue import CLIENTS, Client
from tests.egress.clients.internet import ELSEWHERE, Inside
from tests.egress.clients.sites import WORD
from tests.egress.clients.sshd import SshServer
from tests.sandboxes.inside import chunks
from tests.sandboxes.shared import SHARED
from tests.store.postgres import PASSWORD

pytestmark = SHARED


@pytest.mark.parametrize("client", CLIENTS, ids=str, indirect=True)
@pytest.mark.on_docker
async def test_client_reaches_only_what_is_allowed(
    inside: Inside, client: Client, request: pytest.FixtureRequest
) -> None:
    if client.port == 22:
        await _with_key(inside, request.getfixturevalue("ssh"), request.getfixturevalue("sites"))
    if client.port == 5432:
        request.getfixturevalue("database")
        await inside.run(f"export PGPASSWORD={PASSWORD}")
    refused = await inside(client.command, ELSEWHERE)
    assert refused.code != 0, refused
    assert refused.told == [f"Network: {client.reason}"]
    assert client.says in refused.printed
    reached = await inside(client.command, client.host)
    assert (reached.code, reached.told) == (0, []), reached.printed
    assert WORD in reached.printed


async def _with_key(inside: Inside, ssh: SshServer, sites: Path) -> None:
    """Give the sandbox a key for the server, as a person does."""
    await inside.run.channel.put("/mnt/data/key", chunks(ssh.key))
    await inside.run.channel.put("/mnt/data/known", chunks(f"git.test {ssh.host_key}\n".encode()))
    command = "ssh -i /mnt/data/key -o UserKnownHostsFile=/mnt/data/known"
    done = await inside.run(
        f"chmod 600 key; export SSH_USER={ssh.user} SSH_SITE={sites}/git.test GIT_SSH_COMMAND='{command}'"
    )
    assert done.code == 0
