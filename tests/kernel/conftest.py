"""Real kernels for these tests: the shipped kernelspec's command, bubblewrap, and the scripted model."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.conftest import CHECKOUT, share_programs
from tests.kernel import lab
from tests.kernel.client import Notebook
from tests.kernel.live.relay import Relay
from tests.kernel.running import kernel_manager, running, use_kernels
from tests.kernel.upstream import Played, played

HERE = Path(__file__).parent
SPEC = HERE.parents[1] / "agent_kernel" / "kernel" / "spec"
SCRIPT = HERE / "script.yaml"
BUILT = CHECKOUT / "extension" / "labextension"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests in a browser together that share a JupyterLab.

    Each worker that has one of them starts it and loads its page.
    """
    for item in items:
        if HERE / "hostile" in item.path.parents:
            item.add_marker(pytest.mark.unsplit("hostile"))
        elif item.get_closest_marker("browser") and HERE in item.path.parents:
            extended = HERE / "extension" in item.path.parents
            item.add_marker(pytest.mark.unsplit("extension" if extended else "notebooks"))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Close the shared browser before a test that needs none: no event loop can run while it is open."""
    if nextitem is None or nextitem.get_closest_marker("browser") is None:
        lab.SHARED.close()


@pytest.fixture(scope="session")
def kernel_data(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Path:
    """A data folder of these tests' own, with the shared toolbox."""
    data = tmp_path_factory.mktemp("data")
    share_programs(data, toolbox)
    return data


@pytest.fixture(scope="session")
def jupyter_path(tmp_path_factory: pytest.TempPathFactory, kernel_data: Path) -> Path:
    """A folder with kernelspecs.

    `agent` plays the tests' script, `agent-live` that of the live view, `agent-demo` has no model
    configured, the sandboxes of `agent-short` outlive their kernel by seconds only, `agent-docker` uses
    Docker, `agent-bare` has no toolbox.
    """
    root = tmp_path_factory.mktemp("jupyter")
    playing = {"KernelSettings": {"model": f"scripted/{SCRIPT}"}}
    specs: dict[str, dict[str, Any]] = {
        "agent": playing,
        "agent-live": {"KernelSettings": {"model": f"scripted/{HERE / 'live' / 'live.yaml'}"}},
        "agent-demo": {},
        "agent-short": {**playing, "RuntimeSettings": {"kernel_lease": 2.0}},
        "agent-docker": playing,
        "agent-bare": playing,
    }
    for name, settings in specs.items():
        configuration = root / f"config-{name}"
        configuration.mkdir()
        (configuration / "jupyter_agent_kernel_config.json").write_text(json.dumps(settings))
        environment = {
            "AGENT_KERNEL_DATA_DIR": str(root / "bare" if name == "agent-bare" else kernel_data),
            "AGENT_KERNEL_SANDBOX": "docker" if name == "agent-docker" else "bubblewrap",
            "JUPYTER_CONFIG_DIR": str(configuration),
            "PYTHONPATH": str(HERE.parents[1]),
        }
        folder = root / "kernels" / name
        shutil.copytree(SPEC, folder)
        spec = json.loads((SPEC / "kernel.json").read_text())
        spec["argv"][0] = sys.executable
        spec["env"] = environment
        (folder / "kernel.json").write_text(json.dumps(spec))
    return root


@pytest.fixture
def jupyter(jupyter_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make Jupyter find those kernelspecs, and no setting of the person who runs the tests."""
    use_kernels(jupyter_path, monkeypatch)
    return jupyter_path


@pytest.fixture(scope="session")
def shared(jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """One kernel for the tests that leave it as it was; `shared.folder` is its working directory."""
    with running(jupyter_path, tmp_path_factory.mktemp("shared")) as notebook:
        yield notebook


@pytest.fixture(scope="session")
def _reused(jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with running(jupyter_path, tmp_path_factory.mktemp("reused")) as notebook:
        yield notebook


@pytest.fixture
def fresh(_reused: Notebook) -> Notebook:
    """A reused kernel in a new container and in an empty folder, `fresh.folder`.

    Use `notebook` where a test needs a new process: for the first cell, the numbers of cells, or an end.
    """
    _reused.renew()
    return _reused


@pytest.fixture(scope="session")
def _reused_upstream() -> Iterator[Played]:
    with played() as server:
        yield server


@pytest.fixture(scope="session")
def _reused_talking(
    jupyter_path: Path, _reused_upstream: Played, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Notebook]:
    settings = {
        "AGENT_KERNEL_UPSTREAM_URL": _reused_upstream.url,
        "AGENT_KERNEL_UPSTREAM_KEY": "sk-secret-of-the-tests",
        "AGENT_KERNEL_MODEL": "chat/played",
    }
    with running(jupyter_path, tmp_path_factory.mktemp("talking"), "agent-demo", **settings) as notebook:
        yield notebook


@pytest.fixture
def upstream(_reused_upstream: Played) -> Iterator[Played]:
    """The Chat Completions endpoint of `talking`; it plays well and has received no request."""
    _reused_upstream.renew()
    yield _reused_upstream
    _reused_upstream.release.set()


@pytest.fixture
def talking(_reused_talking: Notebook, upstream: Played) -> Notebook:
    """A reused kernel that talks to `upstream`, in a new container and in an empty folder."""
    _reused_talking.renew()
    return _reused_talking


@pytest.fixture(autouse=True)
def replaced_after_failure(request: pytest.FixtureRequest) -> Iterator[None]:
    """Replace a reused kernel after a failed test: its cell may still run, and later tests would wait."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        for name in {"shared", "_reused", "_reused_talking"} & set(request.fixturenames):
            request.getfixturevalue(name).restart()


@pytest.fixture
def start(jupyter: Path, tmp_path: Path) -> Iterator[Callable[..., Notebook]]:
    """Start kernels in the test's folder; they are shut down after the test."""
    started: list[Notebook] = []

    def begin(name: str = "agent") -> Notebook:
        manager = kernel_manager(name)
        manager.start_kernel(cwd=str(tmp_path))
        started.append(Notebook(manager, tmp_path))
        return started[-1]

    yield begin
    for notebook in started:
        notebook.close()


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]) -> Path:
    """Where the notebooks of `lab_address` lie."""
    if lab.CHROMIUM is None:
        missing("There is no Chromium. Install it with: apt-get install chromium")
    folder = tmp_path_factory.mktemp("lab")
    (folder / "people.csv").write_text("name,age\nAda,36\nBob,41\n")
    return folder


@pytest.fixture(scope="session")
def lab_itself(
    lab_folder: Path, jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of one JupyterLab for all tests in a browser."""
    with pytest.MonkeyPatch.context() as patch:
        use_kernels(jupyter_path, patch)
        with lab.lab_server(lab_folder, tmp_path_factory.mktemp("jupyterlab"), forks=True) as address:
            yield address
            lab.SHARED.close()


@pytest.fixture(scope="session")
def relay(lab_itself: str) -> Iterator[Relay]:
    """Stands between the browser and that JupyterLab."""
    relay = Relay(urlsplit(lab_itself).port or 0)
    yield relay
    relay.close()


@pytest.fixture(scope="session")
def lab_address(relay: Relay, lab_itself: str) -> str:
    """The address of that JupyterLab, through the relay."""
    return relay.address(lab_itself)


@pytest.fixture(scope="module")
def lab_tab(lab_address: str) -> Page:
    """The page of that JupyterLab which all tests share."""
    return lab.SHARED.page(lab_address)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures of pages go: see `lab.picture`."""
    chosen = Path(lab.PICTURES or tmp_path)
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


@pytest.fixture
def notebook(start: Callable[..., Notebook]) -> Notebook:
    return start()


@pytest.fixture
def sandboxes(kernel_data: Path) -> Callable[[], list[str]]:
    """Names of the sandboxes that exist at this moment."""
    return lambda: [path.name for path in (kernel_data / "sandboxes").glob("*")]


@pytest.fixture(scope="session")
def built(missing: Callable[[str], NoReturn]) -> Path:
    """The folder with the built extension."""
    if not (BUILT / "package.json").exists():
        missing("The JupyterLab extension is not built. With Node on this machine: make extension")
    return BUILT
