"""JupyterLab in a real Chromium, for the tests of what a person sees."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.kernel.jupyter_server import ON_LOOPBACK, running_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EXTENSION = "jupyter-agent-kernel"
START_MILLISECONDS = 60_000
ADDRESS = r"http://127\.0\.0\.1:(?P<port>\d+)/lab\?token=\w+"
EMPTY = "about:blank"
WIDGET = "window.jupyterapp?.shell.currentWidget"
KERNEL = f"{WIDGET}?.sessionContext?.session?.kernel"
SHUT_DOWN = "() => window.jupyterapp.serviceManager.sessions.shutdownAll()"
CLOSE_SIDES = "() => { window.jupyterapp.shell.collapseLeft(); window.jupyterapp.shell.collapseRight(); }"
_SETTINGS = {
    "notification": {"fetchNews": "false", "checkForUpdates": False},
}
_WITHOUT_NODE = {"buildAvailable": False, "buildCheck": False}
"""Each loaded page asks otherwise whether JupyterLab must be built, for which the server starts Node."""
_WITHOUT_LANGUAGE_SERVERS = {"ServerApp": {"jpserver_extensions": {"jupyter_lsp": False}}}
"""Node, npm and R are started otherwise, to find such servers."""


@contextmanager
def lab_server(
    root: Path, folder: Path, *, theme: str = "JupyterLab Light", extension: Path | None = None
) -> Iterator[str]:
    """JupyterLab on loopback, serving `root`; yields its address. `folder` takes its settings and its log.

    It runs with the built `extension`, and without ours by default, whatever is installed.
    """
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    for name, values in {**_SETTINGS, "themes": {"theme": theme}}.items():
        (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(values))
    disabled = {} if extension else {"disabledExtensions": {EXTENSION: True}}
    configuration = folder / "config"
    (configuration / "labconfig").mkdir(parents=True, exist_ok=True)
    (configuration / "labconfig" / "page_config.json").write_text(json.dumps({**_WITHOUT_NODE, **disabled}))
    (configuration / "jupyter_server_config.json").write_text(json.dumps(_WITHOUT_LANGUAGE_SERVERS))
    environment = os.environ | {
        "JUPYTER_PATH": os.pathsep.join(
            filter(None, [f"{folder / 'share'}", os.environ.get("JUPYTER_PATH")])
        ),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *ON_LOOPBACK),
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={root}",
    ]
    if extension:
        (folder / "share" / "labextensions").mkdir(parents=True)
        (folder / "share" / "labextensions" / EXTENSION).symlink_to(extension)
    with running_server(command, environment, ADDRESS) as (server, address):
        try:
            yield address
        finally:
            (folder / "lab.log").write_text("".join(server.log))


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """A browser. Use it for a module at most: while it is open, no event loop can run in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def lab_page(address: str, notebook: str, *, width: int = 1100, height: int = 1200) -> Iterator[Page]:
    """A page with the notebook open in simple mode and its kernel idle, in a new browser."""
    with (
        chromium() as browser,
        browser.new_page() as page,
        notebook_in(page, address, notebook, width, height),
    ):
        yield page


@contextmanager
def notebook_in(
    page: Page, address: str, notebook: str, width: int = 1100, height: int = 1200
) -> Iterator[Page]:
    """Open a notebook in a page that may have JupyterLab loaded, and wait until its kernel is idle.

    At the end the notebook and the side panels are closed, and all kernels are shut down. After a failure the
    page is empty.
    """
    page.set_viewport_size({"width": width, "height": height})
    try:
        if page.url == EMPTY:
            load(page, address, notebook)
        else:
            command(page, "docmanager:open", {"path": notebook})
        page.wait_for_function(
            f"(path) => {WIDGET}?.context?.path === path && {KERNEL}?.status === 'idle'",
            arg=notebook,
            timeout=START_MILLISECONDS,
        )
        yield page
        page.evaluate(SHUT_DOWN)
        page.evaluate(f"() => {WIDGET}.dispose()")
        page.evaluate(CLOSE_SIDES)
    except BaseException:
        page.goto(EMPTY)
        raise


def load(page: Page, address: str, notebook: str) -> None:
    """Load JupyterLab in a page, with a notebook in simple mode, whatever its kernel does."""
    path, _, token = address.partition("?")
    page.goto(f"{path.removesuffix('/lab')}/doc/tree/{notebook}?{token}", timeout=START_MILLISECONDS)
    expect(page.locator(".jp-Notebook")).to_be_visible(timeout=START_MILLISECONDS)


def open_tab(context: BrowserContext, address: str, notebook: str) -> Page:
    """One more page with the notebook, whatever its kernel does."""
    page = context.new_page()
    load(page, address, notebook)
    return page


def command(page: Page, name: str, arguments: dict[str, str] | None = None) -> None:
    """Run one of JupyterLab's commands and wait for it."""
    page.evaluate(
        "([name, given]) => window.jupyterapp.commands.execute(name, given).then(() => null)",
        [name, arguments or {}],
    )


def start_command(page: Page, name: str) -> None:
    """Run one of JupyterLab's commands without waiting for it."""
    page.evaluate("(name) => { window.jupyterapp.commands.execute(name); return null; }", name)
