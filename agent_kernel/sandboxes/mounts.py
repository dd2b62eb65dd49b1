"""Folders of the host that an operator lets sandboxes read: data sets that are too big to upload.

The operator names each folder (`AGENT_KERNEL_MOUNTS`); requests choose from these names. A sandbox sees a
folder read-only below `/mnt`. Whatever could expose the host's system, its secrets or this project's own data
is refused, both when the settings are read and again before each sandbox is made.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.errors import ConfigurationError

PARENT = "/mnt"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SKILLS = "skills"
"""The folder of a sandbox's skills, which the host fills: `/mnt/skills`."""
TAKEN = frozenset({"data", SKILLS})
"""Names that would hide the workspace, `/mnt/data`, or the skills."""

SYSTEM = ("/proc", "/sys", "/dev", "/run", "/etc", "/boot", "/usr", "/lib", "/bin", "/sbin", "/var/run",
          "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd")  # fmt: skip
"""Folders of the system. Neither they, nor what they contain, nor a folder that contains them is mounted."""


@dataclass(frozen=True)
class HostMount:
    """A folder of the host, `source`, that a sandbox sees read-only at `target`."""

    name: str
    source: str

    @property
    def target(self) -> str:
        """The folder's path in the sandbox."""
        return f"{PARENT}/{self.name}"

    def check(self, private: Iterable[Path] = ()) -> None:
        """Check the folder as it is now.

        `private` are further folders to keep out of sandboxes, such as the data folder. Raises
        `ConfigurationError` for a name that cannot be used, for a folder that is missing, not readable, or
        reached through a link, and for one that would expose the system, a home folder or a private folder.
        """
        if not NAME.fullmatch(self.name) or self.name in TAKEN:
            raise _refusal(f"{self.name!r} cannot be the name of a mount")
        path = Path(self.source)
        if not path.is_absolute() or os.path.normpath(self.source) != self.source or self.source[1:2] == "/":
            raise _refusal(f"{self.source!r} is not the full path of a folder")
        self._check_place(path, private)
        try:
            real, kind = os.path.realpath(path, strict=True), os.lstat(path).st_mode
        except OSError as error:
            raise _refusal(f"{path} cannot be read: {error.strerror}") from None
        if real != self.source:
            raise _refusal(f"{path} is reached through a symbolic link; name {real} instead")
        if not stat.S_ISDIR(kind):
            raise _refusal(f"{path} is not a folder")
        if not os.access(path, os.R_OK | os.X_OK):
            raise _refusal(f"{path} cannot be read by this user")

    def _check_place(self, path: Path, private: Iterable[Path]) -> None:
        home = Path.home()
        if any(part.startswith(".") for part in path.parts if path.is_relative_to(home)):
            raise _refusal(f"{path} is a hidden folder, which may hold secrets")
        if home.is_relative_to(path):
            raise _refusal(f"{path} contains your home folder")
        for kept in (*map(Path, SYSTEM), *private):
            if path.is_relative_to(kept) or kept.is_relative_to(path):
                raise _refusal(f"{path} would expose {kept}")


def read_mounts(text: str) -> dict[str, HostMount]:
    """Read `NAME=/folder:NAME=/folder`; without `NAME=` the name is the folder's own. Checks no folder.

    Raises `ConfigurationError` for an entry without a folder and for a name that is given twice.
    """
    found: dict[str, HostMount] = {}
    for entry in filter(None, map(str.strip, text.split(":"))):
        name, equals, source = entry.partition("=")
        if not equals:
            name, source = Path(entry).name, entry
        source = str(Path(source.strip()).expanduser()) if source.strip() else ""
        mount = HostMount(name.strip(), source)
        if not source:
            raise _refusal(f"{entry!r} names no folder")
        if mount.name in found:
            raise _refusal(f"the name {mount.name!r} is used twice")
        found[mount.name] = mount
    return found


def _refusal(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"A folder in AGENT_KERNEL_MOUNTS cannot be used: {why}.",
        hint="Write NAME=/folder, several separated by colons; docs/containers.md says what is refused.",
    )
