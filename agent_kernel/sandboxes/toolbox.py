"""The toolbox: Python with pandas, matplotlib and readers of tables for sandboxes that have no image.

It is a virtual environment, prepared once on the host from packages pinned by hash and read-only from then
on: every sandbox sees it at `/opt/toolbox`. Only wheels are installed, so none of their code runs on the host
except Matplotlib's, once, for its font list.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from agent_kernel.errors import PreparationFailed

MOUNT = "/opt/toolbox"
"""The environment's path inside a sandbox. Its scripts and bytecode use this path."""

HOME = "/home/agent"
"""The home folder inside. Matplotlib looks for its font list there."""

REQUIREMENTS = Path(__file__).with_name("toolbox.txt")

_LAYOUT = "2"  # a new number whenever what is prepared changes while the requirements do not
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PASSED = re.compile(
    r"PATH|HOME|USER|LANG|LC_\w+|TZ|TMPDIR|XDG_\w+|NETRC|(PIP|UV)_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|"
    r"CURL_CA_BUNDLE|(https?|ftp|all|no)_proxy|(HTTPS?|FTP|ALL|NO)_PROXY|LD_LIBRARY_PATH"
)
"""The variables that the steps get: how pip or uv is configured, and how they reach an index. No others, so
that no key in this process's environment reaches them."""
_FOREIGN = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV")
"""Settings that would install elsewhere."""
_DONE = "complete.json"

Progress = Callable[[str], None]


class Toolbox:
    """The environment for the running interpreter's Python below `data_dir`."""

    def __init__(self, data_dir: Path) -> None:
        self._root = Path(data_dir) / "toolbox"
        self._prefix = Path(sys.base_prefix).resolve()
        self.path = self._root / self._digest()

    def ready(self) -> bool:
        """Return whether the toolbox is prepared for these requirements and this Python."""
        return (self.path / _DONE).is_file() and self._interpreter().exists()

    def prepare(self, progress: Progress = print) -> None:
        """Prepare the toolbox, or return at once if it is ready. Blocks; takes two minutes and 1.3 GB.

        Waits for another process that does the same. Raises `PreparationFailed` and leaves nothing partial.
        """
        if self.ready():
            return
        try:
            with self._alone(progress):
                if not self.ready():
                    self._clear()
                    self._build(progress)
        except OSError as error:
            raise PreparationFailed(
                f"The toolbox cannot be written to {self._root}: {error.strerror or error}.",
                hint="Set AGENT_KERNEL_DATA_DIR to a folder of yours with about 1.5 GB free.",
            ) from error

    def binds(self) -> list[tuple[str, str]]:
        """Return the read-only binds (source, target) that a sandbox with `/usr` needs, in order."""
        return [(str(self.path / "venv"), MOUNT), *self._interpreter_binds()]

    def home_files(self) -> dict[str, Path]:
        """Return the files that a home folder begins with, by their path in it.

        They are copied, because a mount would be lost with the next layer. Matplotlib finds its list of fonts
        and logs no warning.
        """
        fonts = self.path / "matplotlib"
        return {f".cache/matplotlib/{file.name}": file for file in fonts.glob("fontlist-*.json")}

    def _interpreter(self) -> Path:
        return self._prefix / "bin" / _PYTHON

    def _interpreter_binds(self) -> list[tuple[str, str]]:
        """Return the paths that the interpreter needs of a prefix outside `/usr`, and no others."""
        own_system = self._prefix.is_relative_to("/usr") and not self._prefix.is_relative_to("/usr/local")
        if own_system:
            return []
        libraries = sorted({self._prefix / "lib", self._prefix / sys.platlibdir})
        folders = [folder for folder in libraries if folder.is_dir() and not folder.is_symlink()]
        packages = [folder / _PYTHON / "site-packages" for folder in folders]
        return [
            *((str(path), str(path)) for path in [self._interpreter(), *folders]),
            *((str(self.path / "empty"), str(path)) for path in packages if path.is_dir()),
        ]

    def _digest(self) -> str:
        parts = (_LAYOUT, REQUIREMENTS.read_text(), str(sysconfig.get_config_var("SOABI")), str(self._prefix))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("Another process prepares the toolbox; waiting for it.")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _clear(self) -> None:
        """Remove the remains of a killed preparation. Holding the lock excludes a running one."""
        for remains in [*self._root.glob(".building-*"), self.path]:
            if remains.exists():
                shutil.rmtree(remains)

    def _build(self, progress: Progress) -> None:
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=self._root))
        try:
            building.chmod(0o755)
            self._fill(building, progress)
            building.rename(self.path)
        except BaseException:
            shutil.rmtree(building)
            raise
        progress(f"The toolbox is ready in {self.path}.")

    def _fill(self, building: Path, progress: Progress) -> None:
        venv = building / "venv"
        python = str(venv / "bin" / "python3")
        (building / "empty").mkdir()
        progress(
            f"Making a Python {sys.version_info.major}.{sys.version_info.minor} environment for sandboxes."
        )
        _run([str(self._interpreter()), "-m", "venv", "--without-pip", "--symlinks", str(venv)], progress)
        progress(
            "Installing pandas, matplotlib, scipy, scikit-learn, statsmodels, polars, duckdb and readers."
        )
        _run(_install_command(python), progress, hint="Check that pip reaches a package index from here.")
        _relocate(venv)
        _add_font(venv / "lib" / _PYTHON / "site-packages")
        progress("Compiling.")
        compile_all = ["-m", "compileall", "-q", "-j", "2", "-x", "/tests?/", "-s", str(venv), "-p", MOUNT]
        _run([python, *compile_all, str(venv / "lib")], progress)
        progress("Listing the fonts.")
        # An empty home, because this user's fonts do not exist inside the sandbox.
        fonts = {"MPLCONFIGDIR": str(building / "matplotlib"), "HOME": str(building / "empty")}
        _run([python, "-W", "error", "-c", "import matplotlib.pyplot"], progress, environment=fonts)
        (building / _DONE).write_text(json.dumps({"python": sys.version, "prefix": str(self._prefix)}))


def _install_command(python: str) -> list[str]:
    """Return the command of pip or uv for `python`. Raises `PreparationFailed` if neither is there."""
    options = ["--require-hashes", "--only-binary", ":all:", "-r", str(REQUIREMENTS)]
    if find_spec("pip"):
        options += ["--no-compile", "--disable-pip-version-check", "--no-warn-script-location"]
        return [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-input", *options]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", python, "--no-progress", *options]
    raise PreparationFailed("Neither pip nor uv is here to install the toolbox.", hint="python -m ensurepip")


def _add_font(packages: Path) -> None:
    """Let Matplotlib draw Chinese and Japanese characters, which its own fonts lack."""
    data = packages / "matplotlib" / "mpl-data"
    shutil.copy(packages / "matplotlib_fontja" / "fonts" / "ipaexg.ttf", data / "fonts" / "ttf")
    settings = data / "matplotlibrc"
    family = "font.family: DejaVu Sans, IPAexGothic"
    settings.write_text(re.sub(r"(?m)^#?font\.family:.*$", family, settings.read_text()))


def _relocate(venv: Path) -> None:
    """Replace the environment's path in scripts and configuration by its path in the sandbox."""
    for file in [venv / "pyvenv.cfg", *(venv / "bin").iterdir()]:
        if file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            file.write_bytes(content.replace(str(venv).encode(), MOUNT.encode()))


def _run(
    command: list[str],
    progress: Progress,
    *,
    hint: str | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    """Run a step and pass its output to `progress`, line by line. Raises `PreparationFailed`."""
    passed = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
    inherited = {name: value for name, value in passed.items() if name not in _FOREIGN}
    last: deque[str] = deque(maxlen=12)
    with subprocess.Popen(
        command,
        env={**inherited, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101 (for the type checker: it is a pipe)
        try:
            for line in process.stdout:
                last.append(line.rstrip())
                progress(last[-1])
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise PreparationFailed("The toolbox could not be prepared:\n" + "\n".join(last), hint=hint)
