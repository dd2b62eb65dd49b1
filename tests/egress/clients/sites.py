"""The content of the servers: a package index, registries and repositories with one tiny package each."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

WORD = "it-works"
"""What every package, file and table says."""


def make_sites(folder: Path) -> None:
    """Fill `folder` with a folder for each host."""
    _write(folder, {"files.test/word.txt": f"{WORD}\n"})
    _python(folder / "index.test")
    _npm(folder / "npm.test")
    _cran(folder / "cran.test")
    _write(folder / "cargo.test", cargo_registry("https://cargo.test"))
    _go(folder / "go.test")
    _git(folder / "git.test")


def _write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _zip(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def _tar(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def _python(site: Path) -> None:
    """A simple index, as pip and uv read it."""
    wheel, about = "tiny-1.0-py3-none-any.whl", "tiny-1.0.dist-info"
    files = {
        "tiny.py": f"WORD = {WORD!r}\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    listed = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    page = f'<!DOCTYPE html><html><body><a href="/files/{wheel}">{wheel}</a></body></html>'
    _write(
        site,
        {f"files/{wheel}": _zip({**files, f"{about}/RECORD": listed}), "simple/tiny/index.html": page},
    )


def _npm(site: Path) -> None:
    """A registry's document of one package, and its archive."""
    package = {"name": "tiny", "version": "1.0.0"}
    archive = _tar(
        {"package/package.json": json.dumps(package), "package/index.js": f"module.exports = '{WORD}'"}
    )
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    where = {"tarball": "https://npm.test/files/tiny-1.0.0.tgz", "integrity": f"sha512-{digest}"}
    document = {
        "name": "tiny",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {**package, "dist": where}},
    }
    _write(site, {"tiny": json.dumps(document), "files/tiny-1.0.0.tgz": archive})


def _cran(site: Path) -> None:
    """A repository of R packages."""
    fields = "Package: tiny\nVersion: 1.0\nTitle: Tiny\nDescription: Tiny.\nLicense: MIT\n"
    archive = _tar(
        {
            "tiny/DESCRIPTION": f"{fields}Author: A\nMaintainer: A <a@b.test>\n",
            "tiny/NAMESPACE": "export(word)\n",
            "tiny/R/tiny.R": f"word <- function() '{WORD}'\n",
        }
    )
    listed = "Package: tiny\nVersion: 1.0\nLicense: MIT\nNeedsCompilation: no\n"
    _write(site, {"src/contrib/PACKAGES": listed, "src/contrib/tiny_1.0.tar.gz": archive})


def cargo_registry(downloads: str) -> dict[str, bytes]:
    """The files of a sparse registry by path; `downloads` is where Cargo gets those below `files`.

    Cargo sends its token with each request.
    """
    archive = _tar(
        {
            "tiny-1.0.0/Cargo.toml": '[package]\nname = "tiny"\nversion = "1.0.0"\nedition = "2021"\n',
            "tiny-1.0.0/src/lib.rs": f'pub const WORD: &str = "{WORD}";\n',
        }
    )
    about = {"name": "tiny", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False}
    return {
        "config.json": json.dumps(
            {"dl": f"{downloads}/files/{{crate}}-{{version}}.crate", "auth-required": True}
        ).encode(),
        "ti/ny/tiny": json.dumps({**about, "cksum": hashlib.sha256(archive).hexdigest()}).encode(),
        "files/tiny-1.0.0.crate": archive,
    }


def _go(site: Path) -> None:
    """A module proxy."""
    module, version = "example.org/tiny", "v1.0.0"
    mod = f"module {module}\n"
    inside = f"{module}@{version}"
    archive = _zip({f"{inside}/go.mod": mod, f"{inside}/tiny.go": f'package tiny\n\nconst Word = "{WORD}"\n'})
    info = json.dumps({"Version": version, "Time": "2024-01-01T00:00:00Z"})
    _write(
        site / module / "@v",
        {f"{version}.info": info, f"{version}.mod": mod, f"{version}.zip": archive, "list": f"{version}\n"},
    )


def _git(site: Path) -> None:
    """A bare repository with one commit."""
    _write(site / "work", {"word.txt": f"{WORD}\n"})
    user = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    for words in (
        ["init", "-q", "-b", "main", "work"],
        ["-C", "work", "add", "."],
        ["-C", "work", *user, "commit", "-q", "-m", "One file"],
        ["clone", "-q", "--bare", "work", "tiny.git"],
    ):
        environment = {"PATH": os.environ["PATH"], "HOME": str(site)}
        subprocess.run(["git", *words], cwd=site, env=environment, check=True)
