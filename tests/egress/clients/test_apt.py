"""apt-get in a sandbox: on Docker it installs packages, on bubblewrap it says how a sandbox gets them."""

from __future__ import annotations

import pytest

from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.docker.backend import DockerBackend
from tests.egress.clients.certificate import Certificate
from tests.egress.clients.conftest import NETWORK
from tests.egress.clients.internet import ELSEWHERE, Inside, Internet
from tests.egress.clients.login import VALUE, guarded, logged_in
from tests.egress.clients.sites import WORD
from tests.sandboxes.inside import started

__all__ = ["guarded"]

INSTALL = """
echo 'deb [trusted=yes] http://apt.test ./' >/etc/apt/sources.list
apt-get -o Acquire::Retries=0 update && apt-get install --yes tiny && tiny
"""

LOGIN = """
echo "machine apt.test login user password $TOKEN" >/etc/apt/auth.conf
echo 'deb [trusted=yes] https://apt.test ./' >/etc/apt/sources.list
apt-get -o Acquire::Retries=0 update && apt-get install --yes tiny && tiny
"""

ADVICE = {
    "apt-get install -y -o Dpkg::Use-Pty=0 -t stable jq libxml2-dev": "jq libxml2-dev",
    "apt update": "NAME",
    "env DEBIAN_FRONTEND=noninteractive aptitude install 'jq; rm -rf'": "NAME",
}


@pytest.mark.docker
async def test_apt_installs_from_an_allowed_repository(
    docker_backend: DockerBackend, internet: Internet, repository: str
) -> None:
    async with started(docker_backend, network=NETWORK) as run:
        inside = Inside(run, internet)
        refused = await inside(INSTALL, ELSEWHERE)
        assert refused.code != 0
        assert refused.told == [f"Network: {repository}:80 was refused: not in the allowlist."]
        assert f"403  {repository}:80 was refused: not in the allowlist." in refused.printed
        reached = await inside(INSTALL, repository)
        assert (reached.code, reached.told) == (0, []), reached.printed
        assert WORD in reached.printed.splitlines()


@pytest.mark.docker
async def test_apt_logs_in_with_a_secret(
    docker_backend: DockerBackend, guarded: Internet, certificate: Certificate, repository: str
) -> None:
    async with started(docker_backend, network=NETWORK) as run:
        done = await logged_in(run, guarded, certificate, repository, LOGIN)
    assert (done.code, done.told) == (0, []), done.printed
    assert WORD in done.printed.splitlines()
    assert VALUE not in done.printed


@pytest.mark.bubblewrap
async def test_apt_on_bubblewrap_names_the_image(bubblewrap_backend: BubblewrapBackend) -> None:
    async with started(bubblewrap_backend) as run:
        for command, packages in ADVICE.items():
            done = await run(command)
            first, second = done.stderr.decode().splitlines()
            assert (done.code, done.stdout) == (100, b"")
            assert first.endswith("so no Debian packages can be installed in it.")
            assert second.endswith(f"On the host: agent-kernel image build --packages '{packages}'")
