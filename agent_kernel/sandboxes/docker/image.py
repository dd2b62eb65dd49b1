"""Building the toolbox image: from its Dockerfile, or from Debian's packages alone.

Both ways install the packages of `images/toolbox/packages.txt` and end with `finish.sh`, so that the two
images agree. The functions block (minutes) and report their progress line by line through a callback.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent_kernel.errors import PreparationFailed
from agent_kernel.sandboxes.docker.engine import connect

if TYPE_CHECKING:
    import docker

DEFAULT_IMAGE = "agent-kernel/toolbox:1"
DESKTOP_IMAGE = "agent-kernel/desktop:1"
"""The toolbox image with the programs of a desktop."""
DEFINITION_LABEL = "agent_kernel.definition"

_IMPORT_SECONDS = 900  # several hundred MB, silent until they are there

Progress = Callable[[str], None]

_ENVIRONMENT = {"LANG": "C.UTF-8", "MPLBACKEND": "Agg"}
_CHANGES = [*(f"ENV {k}={v}" for k, v in _ENVIRONMENT.items()), "WORKDIR /mnt/data", 'CMD ["bash"]']
NEUTRAL = """\
printf 'sandbox\\n' >"$1/etc/hostname" && rm -f "$1/etc/resolv.conf" && : >"$1/etc/resolv.conf" &&
rm -rf "$1"/var/log/apt/* "$1/var/log/bootstrap.log" "$1/var/log/dpkg.log"
"""
"""Shell commands that remove the building machine's name, name servers and logs from the root `$1`."""

_APT_FIELDS = ("CREATED_BY", "ORIGIN", "REPO_URI", "CODENAME", "RELEASE", "COMPONENT")
_APT_SETTINGS = re.compile(r'Acquire::(?:https?::\S+|Check-Valid-Until|Check-Date|Retries) "[^"]+";')
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,99}(?:=[A-Za-z0-9.+:~-]{1,99})?")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def context_directory() -> Path:
    """Return the folder with the Dockerfile: inside the installed package, or in the checkout."""
    here = Path(__file__).resolve()
    installed, checkout = here.parents[1] / "images", here.parents[3] / "images"
    return (installed if installed.is_dir() else checkout) / "toolbox"


def desktop_packages() -> list[str]:
    """Return the Debian packages of a desktop."""
    return (context_directory().parent / "desktop" / "packages.txt").read_text().split()


def definition() -> str:
    """Return a digest of the toolbox image's sources. An image carries the digest of its build."""
    digest = hashlib.sha256()
    for path in sorted(context_directory().iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def is_current(image: str = DEFAULT_IMAGE) -> bool:
    """Return whether the engine's toolbox image is up to date. Raises `EngineUnavailable`."""
    from docker.errors import ImageNotFound

    client = connect(_IMPORT_SECONDS)
    try:
        return bool(client.images.get(image).labels.get(DEFINITION_LABEL) == definition())
    except ImageNotFound:
        return False
    finally:
        client.close()


def build_from_dockerfile(image: str = DEFAULT_IMAGE, progress: Progress = print) -> None:
    """Build `image` with the engine's own builder, which must be able to reach a registry.

    Raises `EngineUnavailable`, `PreparationFailed`.
    """
    from docker.errors import DockerException

    client = connect(_IMPORT_SECONDS)
    try:
        labels = {DEFINITION_LABEL: definition()}
        steps = client.api.build(
            path=str(context_directory()), tag=image, rm=True, forcerm=True, decode=True, labels=labels
        )
        for step in steps:
            if "error" in step:
                raise PreparationFailed(
                    f"The engine could not build {image}: {step['error'].strip()}.",
                    hint="Without a registry, build from Debian's packages: agent-kernel image build",
                )
            for line in step.get("stream", step.get("status", "")).splitlines():
                progress(line)
    except DockerException as error:
        raise PreparationFailed(f"The engine could not build {image}: {error}.") from error
    finally:
        client.close()


def build_from_debian(
    image: str = DEFAULT_IMAGE, progress: Progress = print, extra: Sequence[str] = ()
) -> None:
    """Build `image` from Debian 12 packages (and `extra` ones), from the sources of this machine's apt.

    Needs root (to make a root file system with owners and device nodes), Debian 12 and mmdebstrap.
    Raises `EngineUnavailable`, `PreparationFailed`. Interrupting it leaves nothing behind.
    """
    for package in extra:
        if not _PACKAGE.fullmatch(package):
            raise PreparationFailed(
                f"{package!r} cannot be a Debian package.", hint="Give names as apt-get install takes them."
            )
    _require_tools()
    client = connect(_IMPORT_SECONDS)
    try:
        with tempfile.TemporaryDirectory(prefix="agent-kernel-image-") as folder:
            tarball = Path(folder, "root.tar")
            _bootstrap(tarball, progress, extra)
            progress(f"Importing {tarball.stat().st_size / 1e6:.0f} MB as {image}")
            _import(client, tarball, image)
    finally:
        client.close()
    progress(f"{image} is ready.")


def _require_tools() -> None:
    if os.geteuid() != 0:
        raise PreparationFailed(
            "Building the image from Debian's packages needs root.",
            hint="Run it with sudo, or build with a registry: agent-kernel image build --dockerfile",
        )
    for tool in ("mmdebstrap", "apt-get"):
        if shutil.which(tool) is None:
            raise PreparationFailed(
                f"{tool} is not installed.",
                hint="apt-get install mmdebstrap (on Debian), or: agent-kernel image build --dockerfile",
            )


def _sources(progress: Progress) -> list[str]:
    """Return this machine's apt sources of Debian 12 as one-line entries, without third parties'."""
    found = _targets()
    if not found:  # package lists were never fetched, or were cleared away
        progress("apt-get update")
        subprocess.run(["apt-get", "-q", "update"], stdout=subprocess.DEVNULL, check=False)
        found = _targets()
    if not any(" bookworm main" in line for line in found):
        raise PreparationFailed(
            "This machine's apt has no package lists of Debian 12 (bookworm).",
            hint="Run apt-get update on a Debian 12 machine, or: agent-kernel image build --dockerfile",
        )
    return found


def _targets() -> list[str]:
    entries = "|".join(f"$({name})" for name in _APT_FIELDS)
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", entries], capture_output=True, text=True, check=True
    )
    lines = []
    for target in listing.stdout.splitlines():
        created_by, origin, uri, codename, release, component = target.split("|")
        if created_by == "Packages" and origin == "Debian" and codename.startswith("bookworm"):
            lines.append(f"deb [signed-by={_KEYRING}] {uri} {release} {component}")
    return lines


def _apt_options() -> list[str]:
    """Return apt settings of this machine, such as proxies, that mmdebstrap does not take over."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    return [f"--aptopt={line}" for line in dump.stdout.splitlines() if _APT_SETTINGS.fullmatch(line)]


def _bootstrap(tarball: Path, progress: Progress, extra: Sequence[str]) -> None:
    sources = _sources(progress)
    packages = [*(context_directory() / "packages.txt").read_text().split(), *extra]
    finish = context_directory() / "finish.sh"
    command = [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        *_apt_options(),
        f'--customize-hook=chroot "$1" sh < {shlex.quote(str(finish))}',
        f"--customize-hook={NEUTRAL}",
        "bookworm",
        str(tarball),
        "-",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        try:
            last = _feed(process, "\n".join(sources), progress)
        except BaseException:
            process.terminate()  # it unmounts and removes its own chroot
            raise
    if process.returncode != 0:
        raise PreparationFailed(
            "mmdebstrap failed:\n" + "\n".join(last),
            hint="Check that apt-get update works on this machine.",
        )


def _feed(process: subprocess.Popen[str], sources: str, progress: Progress) -> deque[str]:
    assert process.stdin is not None  # noqa: S101 (for the type checker: both are pipes)
    assert process.stderr is not None  # noqa: S101
    with process.stdin as stdin:
        stdin.write(sources + "\n")
    last: deque[str] = deque(maxlen=15)
    for line in process.stderr:
        last.append(line.rstrip())
        progress(last[-1])
    return last


def _import(client: docker.DockerClient, tarball: Path, image: str) -> None:
    from docker.errors import DockerException

    label = f"LABEL {DEFINITION_LABEL}={definition()}"
    try:
        # With the tag in the name: Podman ignores a separate one.
        client.api.import_image_from_file(str(tarball), _tagged(image), changes=[*_CHANGES, label])
        client.images.get(image)
    except DockerException as error:
        raise PreparationFailed(f"The engine did not take the image: {error}.") from error


def _tagged(image: str) -> str:
    """Return an image's name with its tag, which is `latest` if it has none."""
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(image)
    return f"{repository}:{tag or 'latest'}"
