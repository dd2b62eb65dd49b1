"""Building the toolbox image. (That it builds from Debian's packages is the first step of `make test`.)"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from agent_kernel.errors import EngineUnavailable, PreparationFailed
from agent_kernel.sandboxes.docker import image as module
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import (
    DEFAULT_IMAGE,
    NEUTRAL,
    build_from_debian,
    build_from_dockerfile,
    context_directory,
    is_current,
)
from tests.conftest import Missing
from tests.egress.presets.test_installed import wheel
from tests.sandboxes.inside import started


@pytest.fixture
def debian(missing: Missing) -> None:
    """Require root and mmdebstrap."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        missing("Building from Debian packages needs root, and on Debian 12: apt-get install mmdebstrap")


@pytest.fixture
def name(docker_engine: None) -> Iterator[str]:
    """A name for an image that is removed after the test, if the test made it."""
    name = f"agent-kernel/test-image:{uuid.uuid4().hex[:12]}"
    yield name
    engine = docker.from_env()
    if name in [tag for found in engine.images.list() for tag in found.tags]:
        engine.images.remove(name)
    engine.close()


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build context of the test's own in the place of the packaged one."""
    folder = tmp_path / "context"
    shutil.copytree(context_directory(), folder)
    monkeypatch.setattr(module, "context_directory", lambda: folder)
    return folder


def images() -> list[str]:
    engine = docker.from_env()
    try:
        return [tag for found in engine.images.list() for tag in found.tags]
    finally:
        engine.close()


def test_the_context_is_whole_and_names_no_host() -> None:
    folder = context_directory()
    assert {path.name for path in folder.iterdir()} == {"Dockerfile", "packages.txt", "finish.sh", "add.sh"}
    assert not [path for path in folder.iterdir() if "://" in path.read_text()]


def test_image_and_toolbox_have_the_same_libraries() -> None:
    packages = set((context_directory() / "packages.txt").read_text().split())
    wanted = (Path(__file__).parents[3] / "requirements" / "toolbox.in").read_text()
    libraries = re.findall(r"^\w+", wanted, flags=re.MULTILINE)
    not_in_debian = {"duckdb", "matplotlib_fontja", "polars", "pyarrow", "pyreadstat", "python_calamine"}
    assert not_in_debian < set(libraries)
    names = {library.replace("scikit_learn", "sklearn") for library in set(libraries) - not_in_debian}
    assert {f"python3-{name}" for name in names} <= packages
    assert {"fonts-dejavu-core", "fonts-droid-fallback", "python3-odf"} <= packages


@pytest.mark.docker
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "first", ["true", pytest.param("python3 -m venv env && . env/bin/activate", marks=pytest.mark.slow)]
)
async def test_pip_installs_with_and_without_an_environment(
    docker_backend: DockerBackend, first: str
) -> None:
    """As Debian delivers it, pip refuses to install beside Debian's packages."""
    install = (
        "pip install -q --no-index ./tiny-1-py3-none-any.whl && python3 -c 'import tiny; print(tiny.answer)'"
    )
    async with started(docker_backend) as run:
        await run(f"echo {base64.b64encode(wheel('tiny')).decode()} | base64 -d >tiny-1-py3-none-any.whl")
        done = await run(f"{first} && {install}", timeout=250)
        assert (done.code, done.stdout) == (0, b"42\n"), done
        assert (await run("curl --version && test -e /etc/ssl/certs/ca-certificates.crt")).code == 0


@pytest.mark.docker
def test_dockerfile(name: str, context: Path) -> None:
    # On top of the image that is there, so that no registry is needed.
    (context / "Dockerfile").write_text(f"FROM {DEFAULT_IMAGE}\nENV BUILT=here\n")
    lines: list[str] = []
    build_from_dockerfile(name, lines.append)
    assert name in images()
    assert is_current(name)
    assert any("Step 1/" in line for line in lines)
    (context / "added").write_text("x")
    assert not is_current(name)


@pytest.mark.docker
def test_a_failing_dockerfile_is_said(name: str, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY nothing-such /\n")
    with pytest.raises(PreparationFailed, match="nothing-such"):
        build_from_dockerfile(name, lambda line: None)
    assert name not in images()


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.usefixtures("debian")
def test_a_failing_package_is_said_and_leaves_nothing(
    name: str, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (context / "packages.txt").write_text("python3\nno-such-package-anywhere\n")
    work = tmp_path / "work"
    work.mkdir(mode=0o755)
    monkeypatch.setenv("TMPDIR", str(work))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(PreparationFailed, match="no-such-package-anywhere"):
        build_from_debian(name, lambda line: None)
    assert name not in images()
    assert list(work.iterdir()) == []


@pytest.mark.usefixtures("debian")
def test_only_debian_is_taken_from_the_machine() -> None:
    sources = module._sources(lambda line: None)
    assert sources
    assert all(re.fullmatch(r"deb \[signed-by=\S+debian\S+\] \S+ bookworm\S* \S+", line) for line in sources)


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PreparationFailed, match="root") as caught:
        build_from_debian("x", lambda line: None)
    assert "sudo" in (caught.value.hint or "")


def test_without_an_engine_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(EngineUnavailable):
        build_from_dockerfile("x", lambda line: None)


@pytest.mark.parametrize("kind", ["file", "link", "missing"])
def test_image_names_no_machine(tmp_path: Path, kind: str) -> None:
    """The hook that the build runs last, on a root as mmdebstrap leaves it."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "etc").mkdir(parents=True)
    (root / "var" / "log" / "apt").mkdir(parents=True)
    (root / "var" / "log" / "apt" / "term.log").write_text("proxy.example.org")
    outside.write_text("nameserver 192.0.2.53\n")
    if kind == "file":
        (root / "etc" / "resolv.conf").write_text("nameserver 192.0.2.53\n")
        (root / "etc" / "hostname").write_text("builder.example.org\n")
    elif kind == "link":
        (root / "etc" / "resolv.conf").symlink_to(outside)
    subprocess.run(["sh", "-c", NEUTRAL, "sh", str(root)], check=True)
    left = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
    assert left == {"etc/resolv.conf": "", "etc/hostname": "sandbox\n"}
    assert outside.read_text() == "nameserver 192.0.2.53\n"
