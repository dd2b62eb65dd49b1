"""The programs of a desktop: the X server, a window manager, the browser."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess

from agent_kernel.tools.computer.inside import pages, x11

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BROWSERS = ("/usr/lib/chromium/chromium", "chromium", "chromium-browser", "google-chrome")
"""The first is what Debian's script runs, which needs files that bubblewrap sandboxes do not have."""
MANAGERS = ("openbox", "matchbox-window-manager")
_IN_MENU = (
    ("Browser", ""),
    ("Files", "pcmanfm"),
    ("Terminal", "xterm"),
    ("Text", "abiword"),
    ("Tables", "gnumeric"),
)
DOWNLOADS = "/mnt/data"

_BROWSER_FLAGS = (
    "--no-sandbox",  # the container is the sandbox, and gives it no namespaces of its own
    "--test-type",  # no warning about that
    *("--no-first-run", "--no-default-browser-check", "--hide-crash-restore-bubble"),
    "--disable-smooth-scrolling",  # a scroll is over at once
    *("--disable-gpu", "--disable-quic", "--disable-sync", "--disable-background-networking"),
    *("--disable-component-update", "--disable-breakpad", "--password-store=basic", "--ozone-platform=x11"),
    "--disable-features=Translate,MediaRouter,OptimizationHints",
)
_PREFERENCES = {
    "download": {"default_directory": DOWNLOADS, "prompt_for_download": False},
    "savefile": {"default_directory": DOWNLOADS},
    "selectfile": {"last_directory": DOWNLOADS},
    "credentials_enable_service": False,
}
_SOCKETS = "/tmp/.X11-unix"  # noqa: S108 (X's own place)
_LITTLE_MEMORY = 256 << 20
_KEPT = 2000


class NoDesktop(Exception):
    """A program that a desktop needs is missing, or does not start. The text is a sentence."""


class DesktopPrograms:
    """The running programs of one desktop."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Start the X server. Raises `NoDesktop`."""
        self._settings = settings
        self._folder = os.path.join(os.path.expanduser("~"), ".cache", "agent-kernel-desktop")
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        self._manager: subprocess.Popen[bytes] | None = None
        self._browser: subprocess.Popen[bytes] | None = None
        self.pages: pages.BrowserPages | None = None
        missing = [name for name in ("Xvfb",) if shutil.which(name) is None]
        if missing or _first(MANAGERS) is None:
            lacks = " and ".join([*missing, *([] if _first(MANAGERS) else ["openbox"])])
            raise NoDesktop("There is no desktop in this container: it has no %s." % lacks)
        self.display = self._start_server()
        self._environment = self._variables()

    def _start_server(self) -> str:
        read, write = os.pipe()
        width, height = self._settings["width"], self._settings["height"]
        command = [
            *("Xvfb", "-displayfd", str(write), "-screen", "0", "%dx%dx24" % (width, height)),
            *("-nolisten", "tcp", "-noreset", "-s", "0", "-dpi", str(round(96 * self._settings["scale"]))),
            *("-extension", "GLX"),  # nobody draws with it, and it takes a third of the server's memory
        ]
        os.makedirs(_SOCKETS, mode=0o1777, exist_ok=True)  # a server that is not root's does not make it
        log = os.path.join(self._folder, "Xvfb.log")
        with open(log, "wb") as errors, open(read, "rb") as told:
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                pass_fds=[write], start_new_session=True,
            )  # fmt: skip
            os.close(write)
            number = told.readline().strip()
        if number.isdigit():
            self._server = server
            return ":%d" % int(number)
        with open(log, "rb") as errors:
            said = errors.read()[-_KEPT:].decode("utf-8", "replace").strip()
        raise NoDesktop("The X server does not start: %s" % (said or "exit code %s" % server.wait()))

    def _variables(self) -> dict[str, str]:
        scale, locale = self._settings["scale"], self._settings["locale"]
        kept = {
            name: value for name, value in os.environ.items() if name not in ("WAYLAND_DISPLAY", "XAUTHORITY")
        }
        language = locale.partition(".")[0]
        return {
            **kept,
            "DISPLAY": self.display,
            "LANGUAGE": language,
            "GDK_DPI_SCALE": "%g" % scale,
            "QT_SCALE_FACTOR": "%g" % scale,
        }

    @property
    def has_browser(self) -> bool:
        """Whether there is a browser, and it was started."""
        return self._browser is not None

    @property
    def browser(self) -> int | None:
        """The process id of the browser that was started last; None if there is none."""
        return self._browser.pid if self._browser is not None else None

    def start_all(self) -> None:
        """Start the window manager and the browser, if there is one."""
        self._manager = self._start(self._manager_command())
        self._start_browser()

    def restarted(self) -> list[str]:
        """Start again what has crashed. Return a sentence about each, for the model.

        Raises `x11.ServerGone` if the X server has ended.
        """
        said: list[str] = []
        if self._server.poll() is not None:
            raise x11.ServerGone("the X server has ended")
        if self._manager is not None and self._manager.poll() is not None:
            self._manager = self._start(self._manager_command())
            said.append("The window manager had ended and was started again.")
        if self._browser is not None and (code := self._browser.poll()) is not None:
            self._start_browser()
            said.append("The browser had %s and was started again." % ("crashed" if code else "ended"))
        return said

    def _start_browser(self) -> None:
        """Start the browser, if there is one, with a pipe for questions about its pages."""
        if not (command := self._browser_command()):
            return
        if self.pages is not None:
            self.pages.close()
        asked, answered = os.pipe(), os.pipe()
        # Chromium reads from 3 and writes to 4. Ends with these very numbers would be closed by the other.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (asked[0], answered[1])]

        def connect() -> None:
            for number, end in enumerate(ends, 3):
                os.dup2(end, number)

        try:
            self._browser = self._start([*command[:-1], "--remote-debugging-pipe", command[-1]], connect)
        finally:
            for end in (*ends, asked[0], answered[1]):
                os.close(end)
        self.pages = pages.BrowserPages(answered[0], asked[1])

    def _start(
        self, command: list[str], connect: Callable[[], None] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program; `connect` runs in its process first. It inherits no other descriptor of ours."""
        return subprocess.Popen(
            command, env=self._environment, cwd=DOWNLOADS if os.path.isdir(DOWNLOADS) else "/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=connect, close_fds=connect is None,
        )  # fmt: skip

    def _manager_command(self) -> list[str]:
        name = _first(MANAGERS)
        if name != "openbox":
            return [str(name)]
        menu, config = (os.path.join(self._folder, each) for each in ("menu.xml", "openbox.xml"))
        _write(menu, _menu(self._browser_command()))
        _write(config, _CONFIG % {"menu": menu})
        return ["openbox", "--sm-disable", "--config-file", config]

    def _browser_command(self) -> list[str]:
        name = _first(BROWSERS)
        if name is None:
            return []
        profile = os.path.join(os.path.expanduser("~"), ".config", "chromium")
        _write(os.path.join(profile, "Default", "Preferences"), json.dumps(_PREFERENCES), new=True)
        language = self._settings["locale"].partition(".")[0].replace("_", "-")
        memory = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None  # noqa: S108 (shared memory)
        scarce = memory is None or memory.f_blocks * memory.f_frsize < _LITTLE_MEMORY
        return [
            *(name, *_BROWSER_FLAGS, "--user-data-dir=" + profile, "--start-maximized"),
            "--force-device-scale-factor=%g" % self._settings["scale"],
            *(["--accept-lang=%s" % language] if language not in ("C", "POSIX") else []),
            *(["--disable-dev-shm-usage"] if scarce else []),
            "about:blank",
        ]


def _first(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if shutil.which(name)), None)


def _write(path: str, text: str, *, new: bool = False) -> None:
    """Write a file; with `new` only if there is none."""
    if new and os.path.exists(path):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _menu(browser: list[str]) -> str:
    entries = []
    for label, program in _IN_MENU:
        command = " ".join(browser) if not program else program if shutil.which(program) else ""
        if command:
            entries.append(_ITEM % (label, command.replace("&", "&amp;").replace("<", "&lt;")))
    return _MENU % "".join(entries)


_ITEM = '<item label="%s"><action name="Execute"><command>%s</command></action></item>'
_MENU = """<?xml version="1.0" encoding="UTF-8"?>
<openbox_menu xmlns="http://openbox.org/3.4/menu">
<menu id="root-menu" label="Desktop">%s</menu>
</openbox_menu>
"""
_CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <focus><focusNew>yes</focusNew><followMouse>no</followMouse></focus>
  <placement><policy>Smart</policy></placement>
  <theme><name>Clearlooks</name><titleLayout>NLIMC</titleLayout></theme>
  <desktops><number>1</number></desktops>
  <keyboard>
    <keybind key="A-Tab"><action name="NextWindow"/></keybind>
    <keybind key="A-F4"><action name="Close"/></keybind>
  </keyboard>
  <mouse>
    <context name="Titlebar">
      <mousebind button="Left" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
      <mousebind button="Left" action="Drag"><action name="Move"/></mousebind>
      <mousebind button="Left" action="DoubleClick"><action name="ToggleMaximize"/></mousebind>
    </context>
    <context name="Close"><mousebind button="Left" action="Click"><action name="Close"/></mousebind></context>
    <context name="Iconify">
      <mousebind button="Left" action="Click"><action name="Iconify"/></mousebind>
    </context>
    <context name="Maximize">
      <mousebind button="Left" action="Click"><action name="ToggleMaximize"/></mousebind>
    </context>
    <context name="Bottom Right BRCorner">
      <mousebind button="Left" action="Drag"><action name="Resize"/></mousebind>
    </context>
    <context name="Root">
      <mousebind button="Right" action="Press">
        <action name="ShowMenu"><menu>root-menu</menu></action>
      </mousebind>
    </context>
  </mouse>
  <menu><file>%(menu)s</file></menu>
</openbox_config>
"""
