"""The shape of the source: no circles, small folders and constructors, one meaning per class name.

Each law has a list of known exceptions. An exception that is no longer needed fails the test, so that the
lists only shrink.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import agent_kernel
from tests.conftest import CHECKOUT
from tests.source import parsed

ROOT = Path(agent_kernel.__file__).parent
MAX_FILES = 20
MAX_PARAMETERS = 7
MAX_NAME = 60
"""Characters of a test's name, without the prefix `test_` and without parameters."""

Graph = dict[str, set[str]]

KNOWN_FILE_CIRCLES: set[frozenset[str]] = set()
KNOWN_FOLDER_CIRCLES: set[frozenset[str]] = set()
KNOWN_LARGE_FOLDERS: set[str] = set()
KNOWN_SHARED_NAMES: set[str] = set()
KNOWN_LARGE_CONSTRUCTORS: set[str] = set()


@cache
def tracked() -> tuple[Path, ...]:
    """Return the files that belong to the project: tracked ones, and new ones that are not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    paths = (CHECKOUT / name for name in listed.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def python_files(folder: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and CHECKOUT / folder in path.parents]


def dotted(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {dotted(path): path for path in python_files("agent_kernel")}


def statements(tree: ast.AST, at_import: bool) -> Iterator[ast.stmt]:
    """Yield import statements; with `at_import` only those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        late = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not (at_import and (late or types)):
            yield from statements(node, at_import)


def targets(module: str, statement: ast.stmt) -> Iterator[str]:
    """Yield the modules of ours that an import statement names."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        base = statement.module or ""
        if statement.level:
            base = ".".join(filter(None, [*module.split(".")[: -statement.level], base]))
        for alias in statement.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in modules() else base


@cache
def imports(*, at_import: bool) -> Graph:
    return {
        module: {
            target
            for statement in statements(parsed(path), at_import)
            for target in targets(module, statement)
            if target in modules() and target != module
        }
        for module, path in modules().items()
    }


def circles(graph: Graph) -> set[frozenset[str]]:
    """Return the sets of nodes that reach each other."""
    reached = {node: reachable(graph, node) for node in graph}
    found = (frozenset(other for other in reached[node] if node in reached[other]) for node in graph)
    return {circle for circle in found if len(circle) > 1}


def reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()] - seen:
            seen.add(target)
            waiting.append(target)
    return seen


def siblings(package: str) -> Graph:
    """Return how the parts of a package, its folders and its own modules, import each other."""
    depth = package.count(".") + 2
    parts: Graph = defaultdict(set)
    for module, found in imports(at_import=False).items():
        if module.startswith(f"{package}."):
            here = ".".join(module.split(".")[:depth])
            there = {".".join(t.split(".")[:depth]) for t in found if t.startswith(f"{package}.")}
            parts[here] |= there - {here}
    return dict(parts)


def test_no_file_circle_at_import_time() -> None:
    compare(circles(imports(at_import=True)), KNOWN_FILE_CIRCLES)


def test_no_circle_between_siblings() -> None:
    """Folders and modules of one package, all imports counted: late ones and those for types as well."""
    packages = [dotted(path) for path in modules().values() if path.name == "__init__.py"]
    found = {circle for package in packages for circle in circles(siblings(package))}
    compare(found, KNOWN_FOLDER_CIRCLES)


def compare(found: set[frozenset[str]], known: set[frozenset[str]]) -> None:
    """Allow known circles and parts of them; refuse new ones, and known ones that are gone."""
    assert [sorted(circle) for circle in found if not any(circle <= other for other in known)] == []
    gone = [sorted(other) for other in known if not any(circle <= other for circle in found)]
    assert gone == [], "no longer circles: remove them from the known ones"


def test_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert circles(graph) == {frozenset("bc")}


def test_folders_are_small() -> None:
    """At most 20 files: a reader sees a folder at one look."""
    sizes = Counter(path.parent.relative_to(CHECKOUT).as_posix() for path in tracked())
    large = {
        folder for folder, size in sizes.items() if size > MAX_FILES and folder.startswith(("agent", "tests"))
    }
    assert large == KNOWN_LARGE_FOLDERS


def classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def test_class_names_have_one_meaning() -> None:
    """Nested and private classes aside."""
    homes = Counter(
        node.name
        for path in modules().values()
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in homes.items() if count > 1} == KNOWN_SHARED_NAMES


def test_constructors_have_few_parameters() -> None:
    """At most 7, `self` aside. A dataclass without a constructor is a settings object: it may have more."""
    large = {
        f"{dotted(path)}.{node.name}"
        for path in modules().values()
        for node in classes(parsed(path))
        for function in node.body
        if isinstance(function, ast.FunctionDef) and function.name == "__init__"
        if parameters(function.args) > MAX_PARAMETERS
    }
    assert large == KNOWN_LARGE_CONSTRUCTORS


def parameters(arguments: ast.arguments) -> int:
    return len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]) - 1


def test_only_missing_components_skip() -> None:
    """A plain skip would hide a missing component from CI; see the fixture `missing`."""
    skip = re.compile(r"pytest\.(skip|importorskip)\(|mark\.skip")
    wrong = {
        path.relative_to(CHECKOUT).as_posix()
        for path in python_files("tests")
        if skip.search(path.read_text()) and path not in (CHECKOUT / "tests" / "conftest.py", Path(__file__))
    }
    assert wrong == set()


def test_names_are_short() -> None:
    long = [name for name in named(python_files("tests")) if len(name) > MAX_NAME]
    assert long == []


def named(paths: Iterable[Path]) -> list[str]:
    """Return the names of test functions without their prefix.

    The text is searched, as parsing all tests takes seconds.
    """
    definition = re.compile(r"^\s*(?:async\s+)?def\s+test_(\w+)", re.MULTILINE)
    return [
        name
        for path in paths
        if path.name.startswith("test_")
        for name in definition.findall(path.read_text())
    ]


def test_modules_say_what_they_are_for() -> None:
    wrong = [module for module, path in modules().items() if not ast.get_docstring(parsed(path))]
    assert wrong == []
