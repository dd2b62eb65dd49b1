"""The laws of the house, held against the source itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import agent_kernel
from tests.source import import_statements, parsed

ROOT = Path(agent_kernel.__file__).parent
CHECKOUT = ROOT.parent
MODULES = sorted(ROOT.rglob("*.py"))

RANK = {
    "errors": 0,
    "keys": 0,
    "sockets": 0,
    "each": 1,
    "protocol": 1,
    "policy": 2,
    "cassettes": 2,
    "store": 2,
    "sandboxes": 3,
    "egress": 4,
    "tools": 5,
    "models": 6,
    "runtime": 7,
    "kernel": 8,
    "server": 8,
    "mcp_server": 9,
    "config": 9,
    "conversion": 9,
    "cli": 10,
    "integrations": 11,
    "__main__": 12,
}
"""A room may import rooms of a lower rank, and itself. Equal rank: siblings, which never know each other."""

MAX_LINES = 400


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def name(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Every module of ours that this one imports, at the top, late, or for types only."""
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "agent_kernel")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or "boxd" in path.parts, f"{name(path)}: imports are written in full"
            if node.module == "agent_kernel":
                yield from (f"agent_kernel.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("agent_kernel."):
                yield node.module


def test_imports_run_downward_only() -> None:
    wrong = []
    for path in MODULES:
        here = room(path)
        if here == "__init__":
            continue
        for target in imported(path):
            there = target.split(".")[1]
            if there in ("__version__", here):
                continue
            if RANK[there] >= RANK[here]:
                wrong.append(f"{name(path)} imports {target}")
    assert not wrong


CONTRACT = (
    "agent_kernel.runtime.base",
    "agent_kernel.runtime.deleting",
    "agent_kernel.runtime.front_ends",
    "agent_kernel.runtime.network.base",
    "agent_kernel.runtime.progress",
    "agent_kernel.runtime.sessions",
    "agent_kernel.runtime.kept",
    "agent_kernel.runtime.library",
    "agent_kernel.runtime.snapshots",
    "agent_kernel.runtime.skills.base",
    "agent_kernel.runtime.vector_stores.base",
)


def test_kernel_and_server_import_only_the_runtime_contract() -> None:
    wrong = [
        f"{name(path)} imports {target}"
        for path in MODULES
        if room(path) in ("kernel", "server")
        for target in imported(path)
        if target.split(".")[1] in ("models", "sandboxes", "tools")
        or (target.startswith("agent_kernel.runtime") and target not in CONTRACT)
    ]
    assert not wrong


def test_every_room_has_a_rank() -> None:
    assert {room(path) for path in MODULES} - set(RANK) == {"__init__"}


def test_sandbox_code_imports_only_the_standard_library() -> None:
    wrong = []
    for path in (ROOT / "sandboxes" / "boxd").rglob("*.py"):
        siblings = {other.stem for other in path.parent.glob("*.py")} | {"boxd"}
        for node in import_statements(path):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for top in {n.split(".")[0] for n in names}:
                if top not in sys.stdlib_module_names and top not in siblings:
                    wrong.append(f"{name(path)} imports {top}")
    assert not wrong


def test_no_module_is_too_long() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_the_environment_is_read_in_config_alone() -> None:
    """Inside a sandbox there is no configuration but the environment; pip's own variables are no settings."""
    elsewhere = {
        "agent_kernel/sandboxes/toolbox.py",  # hands pip its own settings through
    }
    wrong = []
    for path in MODULES:
        in_sandbox = {"boxd", "inside"} & set(path.parts)
        if room(path) == "config" or in_sandbox or name(path) in elsewhere:
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
                wrong.append(f"{name(path)}:{node.lineno}")
    assert not wrong


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=300
    )


ELSEWHERE = ("boxd", "integrations")
"""Rooms that run where other packages are installed: in a sandbox, or in another project's environment."""

IMPORTABLE = [
    path
    for path in MODULES
    if path.name != "__main__.py" and (not {*ELSEWHERE} & {*path.parts} or path.name == "__init__.py")
]

EFFECTS = """
import sys, threading, signal, os, importlib
before = (os.getcwd(), dict(os.environ), threading.active_count(), signal.getsignal(signal.SIGINT))
files = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1]):
        files.append(str(arguments[0]))
    elif event in ("subprocess.Popen", "os.fork", "os.exec", "socket.connect", "socket.bind"):
        files.append(event)
sys.addaudithook(watch)
sys.dont_write_bytecode = True
for module in {modules!r}:
    importlib.import_module(module)
after = (os.getcwd(), dict(os.environ), threading.active_count(), signal.getsignal(signal.SIGINT))
assert before == after, (before, after)
assert not files, files
"""


def dotted(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_importing_has_no_effects() -> None:
    """No file written, no process, no connection, no thread, no signal handler, nothing printed."""
    done = python(EFFECTS.format(modules=[dotted(path) for path in IMPORTABLE]))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""


HEAVY = ("openai", "pydantic", "docker", "starlette", "uvicorn", "nbclient", "nbconvert", "pandas", "httpx")


@pytest.mark.parametrize(
    "module",
    [
        "agent_kernel",
        "agent_kernel.cli",
        "agent_kernel.cli.kernel",
        "agent_kernel.config",
        "agent_kernel.kernel",
    ],
)
def test_the_way_to_the_first_idle_loads_nothing_heavy(module: str) -> None:
    done = python(f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_every_package_that_is_imported_is_declared() -> None:
    """What comes along with something else today may not come along tomorrow."""
    declared = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = declared["optional-dependencies"]
    served = (
        "egress",
        "serve",
        "demo",
        "files",
        "otel",
        "papermill",
        "postgres",
        "inspect",
        "pytest",
        "mcp",
        "anthropic",
        "web",
        "kubernetes",
        "s3",
    )
    wanted = [*declared["dependencies"], *(line for extra in served for line in extras[extra])]
    names = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in wanted}
    homes = packages_distributions()
    toolbox = set(re.findall(r"^\w+", (CHECKOUT / "requirements" / "toolbox.in").read_text(), re.MULTILINE))
    wrong = set()
    for path in MODULES:
        in_sandbox = (
            toolbox if path.parent.name == "sandbox_scripts" else set()
        )  # these run there, and only there
        for node in import_statements(path):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            for top in {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names):
                installed = homes.get(top, [top] if "integrations" in path.parts else [])
                found = {home.lower().replace("_", "-") for home in installed}
                if top not in {"agent_kernel", "boxd", *in_sandbox} and not found & names:
                    wrong.add(f"{name(path)}: {top}")
    assert not wrong


def test_public_names() -> None:
    assert agent_kernel.__version__
    done = python(
        "import agent_kernel; print(sorted(n for n in vars(agent_kernel) if not n.startswith('_')))"
    )
    assert done.stdout.strip() == "[]", "the package is a catalogue: it exports its version alone"


def test_no_file_names_a_registry() -> None:
    """Packages and images come from wherever the machine is told to take them."""
    words = [
        "py" + "pi.org",
        "python" + "hosted",
        "docker" + ".io/",
        "regis" + "try.npm",
        "gh" + "cr.io",
        "qu" + "ay.io",
    ]
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    wrong = []
    for file in filter(None, listed.stdout.split("\0")):
        path = CHECKOUT / file
        if path.suffix in (".png", ".gz", ".ipynb") or not path.is_file():
            continue
        text = path.read_text(errors="replace").lower()
        wrong += [f"{file}: {word}" for word in words if word in text]
    assert not wrong
