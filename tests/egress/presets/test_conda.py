"""A client of conda channels in a sandbox: it installs from the operator's channel, through the preset.

py-rattler has the solver and the installer of pixi, and of conda's newer solver.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import ssl
import tarfile
from pathlib import Path

import pytest
import rattler

from agent_kernel.egress.presets.operator import Operator
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.mounts import HostMount
from tests.conftest import Missing
from tests.egress.clients.certificate import make_certificate
from tests.egress.clients.sites import WORD
from tests.egress.presets.test_installed import sandbox
from tests.egress.presets.world import served

pytestmark = pytest.mark.bubblewrap

CHANNEL = "mirror.example.org/channel"
ARCHIVE = "tiny-1.0-0.tar.bz2"
INSTALL = """
import asyncio, os, sys
sys.path.insert(0, "/mnt")
from rattler import install, solve

async def main():
    found = await solve([os.environ["CONDA_CHANNELS"]], ["tiny"], platforms=["linux-64", "noarch"])
    await install(found, "env", "cache", show_progress=False)
    print(open("env/word.txt").read())

asyncio.run(main())
sys.stdout.flush()
os._exit(0)  # py-rattler 0.28's threads may outlive the interpreter, which then aborts
"""


def package() -> tuple[bytes, dict[str, object]]:
    """Make a package with one file, and return it with its entry in the channel's index."""
    about: dict[str, object] = {"name": "tiny", "version": "1.0", "build": "0", "build_number": 0}
    about |= {"depends": [], "subdir": "noarch", "timestamp": 1_700_000_000_000}
    path = {"_path": "word.txt", "path_type": "hardlink", "size_in_bytes": len(WORD)}
    path["sha256"] = hashlib.sha256(WORD.encode()).hexdigest()
    files = {
        "info/index.json": json.dumps(about),
        "info/paths.json": json.dumps({"paths": [path], "paths_version": 1}),
        "info/files": "word.txt\n",
        "word.txt": WORD,
    }
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:bz2") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    made = content.getvalue()
    return made, {**about, "sha256": hashlib.sha256(made).hexdigest(), "size": len(made)}


async def test_package_comes_from_the_operators_channel(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path, missing: Missing
) -> None:
    if not shutil.which("openssl"):
        missing("openssl is missing: apt-get install openssl")
    certificate = make_certificate(tmp_path, ["mirror.example.org"])
    (tmp_path / ".condarc").write_text(f"channels: ['https://{CHANNEL}']\n")
    archive, entry = package()
    async with served((certificate.chain, certificate.key)) as world:
        world.trust = ssl.create_default_context(cafile=str(certificate.authority))
        for folder, packages in (("noarch", {ARCHIVE: entry}), ("linux-64", {})):
            index = {"info": {"subdir": folder}, "packages": packages, "packages.conda": {}}
            world.pages[f"{CHANNEL}/{folder}/repodata.json"] = json.dumps(index).encode()
        world.pages[f"{CHANNEL}/noarch/{ARCHIVE}"] = archive
        operator = Operator({"HOME": str(tmp_path), "PATH": ""})
        program = HostMount("rattler", str(Path(rattler.__file__).parent))
        trust = certificate.authority.read_bytes()
        async with sandbox(bubblewrap_backend, operator, world.route(), trust, "conda", program) as run:
            done = await run(f"SSL_CERT_FILE=/tmp/ca.pem python3 - <<'END'\n{INSTALL}\nEND", timeout=120)
    assert (done.code, done.stdout.decode().strip()) == (0, WORD), done.stderr
