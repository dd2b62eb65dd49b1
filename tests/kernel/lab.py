"""JupyterLab in a real Chromium, for the tests of what a person sees."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, expect, sync_playwright

from tests.kernel.jupyter_server import ON_LOOPBACK, running_server

_WHOLE = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM = shutil.which("chromium-headless-shell") or _WHOLE
"""The shell has no windows, toolbars or profile, and takes two thirds of the processor time."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
EXTENSION = "jupyter-agent-kernel"
START_MILLISECONDS = 60_000
ADDRESS = r"http://127\.0\.0\.1:(?P<port>\d+)/lab\?token=\w+"
PICTURES = os.environ.get("AGENT_KERNEL_PICTURES")
"""A folder for pictures of pages, if somebody wants to look at them."""
EMPTY = "about:blank"
WIDGET = "window.jupyterapp?.shell.currentWidget"
KERNEL = f"{WIDGET}?.sessionContext?.session?.kernel"
SHUT_DOWN = "() => window.jupyterapp.serviceManager.sessions.shutdownAll()"
CLOSE = """() => {
  const { shell } = window.jupyterapp;
  for (const each of [...shell.widgets("main")]) each.dispose();
  shell.collapseLeft();
  shell.collapseRight();
}"""
_SETTINGS = {
    "notification": {"fetchNews": "false", "checkForUpdates": False},
}
_WITHOUT_NODE = {"buildAvailable": False, "buildCheck": False}
"""Each loaded page asks otherwise whether JupyterLab must be built, for which the server starts Node."""
_WITHOUT_LANGUAGE_SERVERS = {"ServerApp": {"jpserver_extensions": {"jupyter_lsp": False}}}
"""Node, npm and R are started otherwise, to find such servers."""
_FORKING = (
    *("-c", "import sys; from jupyterlab.labapp import main; sys.exit(main())"),
    "--MappingKernelManager.kernel_manager_class=tests.kernel.forking.ForkingManager",
)
"""What `-m jupyterlab` does, and a setting. Processes that are forked would import that module."""


@contextmanager
def lab_server(
    root: Path,
    folder: Path,
    *,
    theme: str = "JupyterLab Light",
    extension: Path | None = None,
    forks: bool = False,
) -> Iterator[str]:
    """JupyterLab on loopback, serving `root`; yields its address. `folder` takes its settings and its log.

    It runs with the built `extension`, and without ours by default, whatever is installed. If it `forks`, it
    starts kernels of ours in a third of the time.
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
        *(sys.executable, *(_FORKING if forks else ("-m", "jupyterlab"))),
        *("--no-browser", "--allow-root", *ON_LOOPBACK),
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
def chromium(*, whole: bool = False) -> Iterator[Browser]:
    """A browser, or a `whole` one as people have it. While it is open, no event loop runs in this thread."""
    program = (whole and _WHOLE) or CHROMIUM
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class SharedChromium:
    """One browser for all tests of this process that follow each other, and in it a page of each JupyterLab.

    To load JupyterLab takes longer than most tests.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._browser: Browser | None = None
        self._pages: dict[str, Page] = {}

    def browser(self) -> Browser:
        """The browser; it is started if none is open."""
        if self._browser is None:
            self._browser = self._open.enter_context(chromium())
        return self._browser

    def page(self, address: str) -> Page:
        """The page for the JupyterLab at this address, in a context of its own; empty at first."""
        if address not in self._pages:
            self._pages[address] = self.browser().new_context().new_page()
        return self._pages[address]

    def close(self) -> None:
        """Close the browser, if one is open. A server must not end before: while it answers, it may hang."""
        self._browser = None
        self._pages.clear()
        self._open.close()


SHARED = SharedChromium()


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

    At the end all documents and side panels are closed, and all kernels are shut down. After a failure the
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
        page.evaluate(CLOSE)
    except BaseException:
        with suppress(Error):  # the page may be what is broken
            page.evaluate(SHUT_DOWN)  # else the next tests find its questions
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


def picture(of: Page | Locator, path: Path) -> None:
    """Take a picture, if somebody wants to look at it."""
    if PICTURES:
        of.screenshot(path=path)
