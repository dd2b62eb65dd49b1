"""Real programs in a real sandbox use a secret that they never see."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import zipfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
import pytest_asyncio

from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.runtime.containers.containers import ContainerOptions, LocalContainers
from agent_kernel.runtime.network.egress import NetworkOptions
from agent_kernel.runtime.network.inside import OWN
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.store.sqlite.store import sqlite_rows
from tests.conftest import Missing, configured_docker
from tests.egress.tls.outside import NAME, OTHER, VALUE, HttpsServer
from tests.egress.tls.served import LOGIN, Site
from tests.sandboxes.inside import Done, Sandbox, chunks

pytestmark = [pytest.mark.bubblewrap, pytest.mark.asyncio(loop_scope="module")]


async def loopback(name: str) -> list[Address]:
    return [ip_address("127.0.0.1")]


@dataclass
class Secured:
    """A container with a secret for a real server."""

    containers: LocalContainers
    id: str
    server: HttpsServer
    folder: Path
    backend: Backend

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.server.port}"

    async def __call__(self, command: str) -> Done:
        async with self.containers.use(self.id, to_run=True) as channel:
            return await Sandbox(self.backend, await self.backend.get(self.id), channel)(command)

    async def out(self, command: str) -> str:
        done = await self(command)
        assert VALUE.encode() not in done.stdout + done.stderr
        assert done.code == 0, done.stderr.decode()
        return done.stdout.decode()

    def policy(self, value: str | None = VALUE) -> dict[str, object]:
        secret = {"domain": NAME, "name": "TOKEN", **({} if value is None else {"value": value})}
        domains = [f"tcp://{name}:{self.server.port}" for name in (NAME, OTHER)]
        return {"type": "allowlist", "allowed_domains": domains, "domain_secrets": [secret]}


@contextlib.asynccontextmanager
async def secured_on(backend: Backend, folder: Path, missing: Missing) -> AsyncIterator[Secured]:
    """Make a container with a secret for a server, and remove both at the end."""
    probe = await backend.probe()
    if not probe.ok:
        missing(f"{probe.detail} {probe.hint or ''}")
    server = HttpsServer(folder, ("h2", "http/1.1"))
    server.answer = Site(folder)
    await server.start()
    rows = sqlite_rows(folder / "store.sqlite")
    allowed = NetworkPolicy.parse([f"tcp://{name}:{server.port}" for name in (NAME, OTHER)])
    options = NetworkOptions(resolver=loopback, trust=server.trust)
    settings = ContainerOptions(network=allowed, network_options=options)
    containers = LocalContainers.of_all(backend, rows, settings, AuditLog(folder / "audit.jsonl"))
    made = Secured(containers, "", server, folder, backend)
    try:
        made.id = (await containers.create({"network_policy": made.policy()})).id
        async with containers.use(made.id) as channel:
            await channel.put("/mnt/data/clients.zip", chunks(packed(CLIENTS)))
        yield made
    finally:
        for row in await rows.containers():
            await containers.delete(row.id)
        for snapshot in await containers.checkpoints.all():
            await containers.checkpoints.remove(snapshot)
        await containers.aclose()
        await rows.aclose()
        server.server.close()
        await server.server.wait_closed()


CLIENTS = (
    *("requests", "urllib3", "certifi", "idna"),
    *("httpx", "httpcore", "h11", "h2", "hpack", "hyperframe", "anyio", "sniffio", "typing_extensions"),
)


def packed(names: Sequence[str]) -> bytes:
    """Pack installed packages that are pure Python into an archive that Python imports from."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.origin is None:
                continue
            origin = Path(spec.origin)
            files = [origin] if origin.name != "__init__.py" else origin.parent.rglob("*")
            home = origin.parent if origin.name != "__init__.py" else origin.parent.parent
            for path in files:
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.write(path, path.relative_to(home))
    return content.getvalue()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured(
    tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox, missing: Missing
) -> AsyncIterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    async with secured_on(BubblewrapBackend(folder, toolbox), folder, missing) as made:
        yield made


REQUESTS = """
import os, requests
answer = requests.get(URL + "/echo", headers={"Authorization": "Bearer " + os.environ["TOKEN"]}, timeout=20)
print(answer.headers["x-echo"] == "Bearer " + os.environ["TOKEN"], os.environ["TOKEN"] in answer.text)
"""
URLLIB = """
import os, urllib.request
asked = urllib.request.Request(URL + "/echo", headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
answer = urllib.request.urlopen(asked, timeout=20)
text = answer.read().decode()
print(answer.headers["x-echo"] == "Bearer " + os.environ["TOKEN"], os.environ["TOKEN"] in text)
"""
HTTPX = """
import os, httpx
with httpx.Client(http2=True) as web:
    answer = web.get(URL + "/echo", headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
print(answer.headers["x-echo"] == "Bearer " + os.environ["TOKEN"], answer.http_version == "HTTP/2")
"""
NODE = """
const https = require("https");
const headers = {Authorization: "Bearer " + process.env.TOKEN};
https.get(URL + "/echo", {headers}, (answer) => {
  answer.resume();
  console.log(answer.headers["x-echo"] === headers.Authorization, true);
});
"""
HOLDS = """
import os, signal, urllib.request
asked = urllib.request.Request(URL + "/echo", headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
answer = urllib.request.urlopen(asked, timeout=20)
held = answer.read(), answer.headers["x-echo"]
print("ready", flush=True)
signal.pause()
"""
MEMORY = """
import glob, os
value, placeholder = (FIRST + SECOND).encode(), ("Bearer " + os.environ["TOKEN"]).encode()
values = placeholders = 0
for maps in glob.glob("/proc/[0-9]*/maps"):
    if "/%d/" % os.getpid() in maps:
        continue
    try:
        lines = open(maps).readlines()
        memory = open(maps[:-4] + "mem", "rb", 0)
    except OSError:
        continue
    for line in lines:
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        try:
            memory.seek(begin)
            content = memory.read(end - begin)
        except (OSError, OverflowError):
            continue
        values += value in content
        placeholders += placeholder in content
print(values, placeholders > 0)
"""
PROXY_FREE = "env -u http_proxy -u https_proxy -u all_proxy -u HTTP_PROXY -u HTTPS_PROXY -u ALL_PROXY"


async def python(secured: Secured, text: str, before: str = "") -> str:
    program = text.replace("URL", repr(secured.url))
    return await secured.out(
        f"cat >p.py <<'END'\n{program}\nEND\n{before} env PYTHONPATH=/mnt/data/clients.zip python3 p.py"
    )


def last(secured: Secured) -> dict[bytes, bytes]:
    return secured.server.got[-1].headers


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("before", ["", PROXY_FREE])
async def test_curl(secured: Secured, version: str, before: str) -> None:
    shown = "%{http_version} %{http_code}"
    command = (
        f'{before} curl -sS {version} -w "{shown}" -o b -H "Authorization: Bearer $TOKEN" {secured.url}/echo'
    )
    assert await secured.out(command) == f"{version[6:].removesuffix('.0')} 200"
    assert last(secured)[b"authorization"] == f"Bearer {VALUE}".encode()
    assert await secured.out('grep -c "Bearer $TOKEN" b') == "1\n"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_curl_reads_codings(secured: Secured, coding: str) -> None:
    command = f'curl -sSi --compressed -u "user:$TOKEN" {secured.url}/echo/{coding}'
    text = await secured.out(command)
    assert last(secured)[b"authorization"] == LOGIN
    assert LOGIN.decode() not in text
    assert "content-encoding" not in text.lower()


@pytest.mark.parametrize(
    ("program", "before"),
    [(REQUESTS, ""), (URLLIB, ""), (REQUESTS, PROXY_FREE), (HTTPX, ""), (HTTPX, PROXY_FREE)],
)
async def test_python(secured: Secured, program: str, before: str) -> None:
    assert await python(secured, program, before) == "True True\n"
    assert last(secured)[b"authorization"] == f"Bearer {VALUE}".encode()


async def test_node(secured: Secured) -> None:
    program = NODE.replace("URL", repr(secured.url))
    await secured.out(f"cat >p.js <<'END'\n{program}\nEND")
    assert await secured.out(f"{PROXY_FREE} node p.js") == "true true\n"


JAVA = """
import java.net.URI;
import java.net.http.*;
class A {
  public static void main(String[] arguments) throws Exception {
    String secret = "Bearer " + System.getenv("TOKEN");
    URI page = URI.create(URL + "/echo");
    HttpRequest asked = HttpRequest.newBuilder(page).header("Authorization", secret).build();
    HttpClient web = HttpClient.newHttpClient();
    HttpResponse<String> answer = web.send(asked, HttpResponse.BodyHandlers.ofString());
    System.out.println(answer.version() + " " + answer.body().contains(secret));
  }
}
"""


@pytest.mark.slow
async def test_java(secured: Secured, missing: Missing) -> None:
    if not shutil.which("javac"):
        missing("java is missing: apt-get install default-jdk-headless")
    program = JAVA.replace("URL", f'"{secured.url}"')
    await secured.out(f"cat >A.java <<'END'\n{program}\nEND")
    assert await secured.out(f"{PROXY_FREE} java A.java") == "HTTP_2 true\n"


async def test_wget(secured: Secured) -> None:
    command = f'{PROXY_FREE} wget -q -O - --header "Authorization: Bearer $TOKEN" {secured.url}/echo'
    assert "authorization: Bearer secret_" in await secured.out(command)


async def test_pip_with_credentials(secured: Secured) -> None:
    index = secured.url.replace("https://", "https://user:$TOKEN@")
    await secured.out(f"pip install -q --no-deps --target lib --index-url {index}/simple/ tiny-secret")
    assert await secured.out("PYTHONPATH=lib python3 -m tiny_secret") == "installed\n"
    assert last(secured)[b"authorization"] == LOGIN


async def test_git_pushes_and_clones(secured: Secured) -> None:
    remote = secured.url.replace("https://", "https://user:$TOKEN@") + "/repository.git"
    name = secured.backend.name
    await secured.out(
        "rm -rf work copy && git -c init.defaultBranch=main init -q work && cd work && echo hello >file"
        " && git add file && git -c user.name=a -c user.email=a@b.test commit -qm first"
        f" && git push -q {remote} main:{name} && cd .. && git clone -q -b {name} {remote} copy; cd /mnt/data"
    )
    assert await secured.out("cat copy/file") == "hello\n"
    assert LOGIN in [got.headers.get(b"authorization") for got in secured.server.got]


async def test_refusals_are_told(secured: Secured) -> None:
    wrong = await secured(f'curl -sS "{secured.url}/echo?key=$TOKEN"')
    assert b"a secret is used in the address of a request" in wrong.stdout
    body = await secured(f'curl -sS -d "key=$TOKEN" {secured.url}/echo')
    assert b"a secret is used in the body of a request" in body.stdout
    lines = secured.containers.take_refusals(secured.id)
    assert len(lines) == 1
    assert lines[0].startswith(f"Network: {NAME}:{secured.server.port} was refused: a secret is used")


async def test_value_is_nowhere_inside(secured: Secured) -> None:
    await secured.out(f'curl -sSi -H "Authorization: Bearer $TOKEN" {secured.url}/echo/error >answer')
    search = (
        "grep -rlIs --exclude-dir=proc --exclude-dir=sys -e '%s' /mnt /tmp /run /var /home /root /etc; true"
    )
    half = len(VALUE) // 2  # in two parts, so that the search does not find itself
    word = f"{VALUE[:half]}[{VALUE[half]}]{VALUE[half + 1 :]}"
    assert await secured.out(search % word) == ""
    environment = await secured.out(
        f"env | grep -e '{word}'; cat /proc/[0-9]*/environ | grep -ae '{word}'; true"
    )
    assert environment == ""
    hold = HOLDS.replace("URL", repr(secured.url))
    await secured.out(f"cat >h.py <<'END'\n{hold}\nEND\nmkfifo ready; python3 h.py >ready & read <ready")
    scan = MEMORY.replace("FIRST", repr(VALUE[:half])).replace("SECOND", repr(VALUE[half:]))
    found = await python(secured, scan)
    await secured.out("kill %1")
    assert found == "0 True\n"


async def test_restored_container_trusts_a_new_authority(secured: Secured) -> None:
    old = await secured.out(f"cat {OWN}; echo $TOKEN")
    copy = replace(secured, id=(await secured.containers.fork(secured.id)).id)
    new = await copy.out(f"cat {OWN}; echo $TOKEN")
    assert new.splitlines()[-1] == old.splitlines()[-1]
    assert new != old
    assert await python(copy, URLLIB) == "True True\n"
    assert await python(secured, URLLIB) == "True True\n"


async def test_policy_can_be_changed(secured: Secured) -> None:
    kept = await secured.containers.set_network(secured.id, secured.policy(None))
    assert kept.network_policy is not None
    shown = kept.network_policy.model_dump()
    assert shown["domain_secrets"] == [{"domain": NAME, "name": "TOKEN"}]
    assert await python(secured, URLLIB) == "True True\n"
    await secured.containers.set_network(secured.id, secured.policy("another-value"))
    assert await python(secured, URLLIB) == "True True\n"
    assert last(secured)[b"authorization"] == b"Bearer another-value"
    await secured.containers.set_network(secured.id, {**secured.policy(), "domain_secrets": []})
    assert await secured.out("echo [$TOKEN$SSL_CERT_FILE]") == "[]\n"
    await secured.containers.set_network(secured.id, secured.policy())
    assert await python(secured, URLLIB) == "True True\n"


async def test_next_process_needs_the_values_again(secured: Secured) -> None:
    """The values are in the first process's memory. Another one says so until a request brings them."""
    first = secured.containers
    options = first.settings
    audit = AuditLog(secured.folder / "audit.jsonl")
    next_process = LocalContainers.of_all(secured.backend, first._store, options, audit)
    later = replace(secured, containers=next_process)
    try:
        assert (await later(f"curl -sS {secured.url}/echo")).code != 0
        (line,) = next_process.take_refusals(secured.id)
        assert "the value of its secret TOKEN is not known to this server any more" in line
        await next_process.set_network(secured.id, secured.policy())
        assert await python(later, URLLIB) == "True True\n"
        lines = (secured.folder / "audit.jsonl").read_text()
        assert "the value of its secret" in lines
        assert VALUE not in lines
    finally:
        await next_process._lifecycle.detach(secured.id)
        await first._lifecycle.detach(secured.id)


@pytest.mark.docker
async def test_docker_trusts_by_its_own_store_too(
    tmp_path: Path, missing: Missing, docker_engine: None
) -> None:
    async with secured_on(configured_docker(), tmp_path, missing) as secured:
        assert await python(secured, REQUESTS) == "True True\n"
        assert await python(secured, HTTPX, PROXY_FREE) == "True True\n"
        await test_git_pushes_and_clones(secured)
        store = "/etc/ssl/certs/ca-certificates.crt"
        await secured.out(f"mkdir -p /etc/ssl/certs && cp {OWN} {store}")
        await secured.containers.set_network(secured.id, {**secured.policy(), "domain_secrets": []})
        await secured.containers.set_network(secured.id, secured.policy())
        assert await secured.out(f"grep -c BEGIN {store}") == "2\n"
        remote = secured.url.replace("https://", "https://user:$TOKEN@") + "/repository.git"
        found = await secured.out(f"env -u GIT_SSL_CAINFO -u SSL_CERT_FILE git ls-remote {remote}")
        assert "refs/heads/docker" in found
