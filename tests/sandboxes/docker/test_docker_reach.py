"""What a Docker sandbox can reach, and what it cannot."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import docker
import pytest

from agent_kernel.sandboxes.base import SandboxRef
from agent_kernel.sandboxes.docker.backend import DockerBackend
from tests.sandboxes.docker.sandbox import new_spec, run

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left")]

FORKS = """
import os, signal
children = []
try:
    for _ in range(100):
        children.append(os.fork())
        if children[-1] == 0:
            signal.pause()
except BlockingIOError:
    print(len(children))
finally:
    for child in children:
        os.kill(child, signal.SIGKILL)
"""


async def test_the_posture_as_seen_from_inside(docker_backend: DockerBackend, sandbox: SandboxRef) -> None:
    status, _ = await run(docker_backend, sandbox, "cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    # CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7 and nothing else
    assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {0b11111011}
    assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"


async def test_there_is_no_network(docker_backend: DockerBackend, sandbox: SandboxRef) -> None:
    interfaces, _ = await run(docker_backend, sandbox, "ls /sys/class/net; tail -n +2 /proc/net/route")
    assert interfaces.split() == ["lo"]
    _, code = await run(docker_backend, sandbox, "exec 3<>/dev/tcp/192.0.2.1/80")
    assert code != 0
    servers, _ = await run(docker_backend, sandbox, "cat /etc/resolv.conf")
    assert servers.split() == ["nameserver", "127.0.0.1"]


async def test_a_port_of_the_host_is_out_of_reach(docker_backend: DockerBackend, sandbox: SandboxRef) -> None:
    reached = asyncio.Event()
    server = await asyncio.start_server(lambda reader, writer: reached.set(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, code = await run(docker_backend, sandbox, f"exec 3<>/dev/tcp/127.0.0.1/{port}")
    server.close()
    assert code != 0
    assert not reached.is_set()


async def test_files_of_the_host_are_out_of_reach(
    docker_backend: DockerBackend, sandbox: SandboxRef, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    _, code = await run(docker_backend, sandbox, f"cat {secret} /proc/1/root{secret}")
    assert code != 0
    mounts, _ = await run(docker_backend, sandbox, "cat /proc/mounts")
    devices = {line.split()[1] for line in mounts.splitlines() if line.startswith("/dev/")}
    assert devices == {"/etc/resolv.conf", "/etc/hostname", "/etc/hosts"}
    sockets, _ = await run(docker_backend, sandbox, "find / -xdev -name '*docker*.sock' 2>/dev/null; ls /run")
    assert sockets.split() == ["boxd"]
    _, code = await run(docker_backend, sandbox, "mount -t tmpfs none /mnt || mknod /tmp/disk b 8 0")
    assert code != 0


async def test_processes_of_the_host_are_out_of_sight(
    docker_backend: DockerBackend, sandbox: SandboxRef
) -> None:
    commands, _ = await run(docker_backend, sandbox, "tr '\\0\\n' ' ' </proc/1/cmdline; echo; ps -e -o comm=")
    first, *others = commands.splitlines()
    assert "boxd" in first
    assert set(others) <= {"python3", "bash", "ps", "tr"}


async def test_environment_of_the_host_stays_outside(
    docker_engine: None, docker_backend: DockerBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxies = {"proxies": {"default": {"httpProxy": "http://name:password@127.0.0.1:3128"}}}
    (tmp_path / "config.json").write_text(json.dumps(proxies))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-host")
    ref = await docker_backend.create(new_spec())
    try:
        inside, _ = await run(docker_backend, ref, "env; cat /proc/1/environ | tr '\\0' '\\n'")
    finally:
        await docker_backend.delete(ref)
    assert "HOME=" in inside
    assert "password" not in inside
    assert "sk-of-the-host" not in inside
    assert not {name for name in os.environ if f"\n{name}={os.environ[name]}" in inside} - {
        *(
            "HOME",
            "LANG",
            "PATH",
            "PWD",
            "SHLVL",
            "TERM",
            "PAGER",
            "GIT_PAGER",
            "NO_COLOR",
            "MPLBACKEND",
            "_",
        ),
        *("PYTHONUNBUFFERED", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_ROOT_USER_ACTION"),
    }


async def test_limits(
    docker_backend: DockerBackend, sandbox: SandboxRef, engine: docker.DockerClient
) -> None:
    host = engine.containers.get(f"agent-kernel-{sandbox.id}").attrs["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert host["PidsLimit"] == 64
    assert host["NetworkMode"] == "none"
    assert host["CgroupnsMode"] == "private"
    assert host["LogConfig"]["Type"] == "none"
    assert not host["Binds"]
    assert not host.get("Mounts")
    refused, _ = await run(docker_backend, sandbox, f"python3 -c '{FORKS}'")
    assert 1 < int(refused) < 64
    eaten, code = await run(docker_backend, sandbox, "python3 -c 'print(len(bytearray(2 << 30)))'")
    assert (eaten, code) == ("", 137)
