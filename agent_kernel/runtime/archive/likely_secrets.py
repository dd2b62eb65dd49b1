"""Likely secrets in what is about to be exported, and those that this installation holds."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent_kernel.cassettes.redaction import REDACTED, SHORTEST, WELL_KNOWN
from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.archive.tar import TarEntry
from agent_kernel.runtime.archive.tree import ROOTS

MOST_LOOKED_AT = 4 << 20
"""Bytes of a file in which forms of keys are looked for. Keys of this installation are looked for in all."""

MOST_FOUND = 500

_NAMES = (
    ".env", ".env.*", "*.env", ".netrc", "_netrc", ".pgpass", ".git-credentials", ".npmrc", ".pypirc",
    ".htpasswd", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.p12", "*.pfx", "*.jks", "*.kdbx",
    "credentials", "credentials.json", "client_secret*.json", "kubeconfig", ".dockercfg",
)  # fmt: skip
_VARIABLE = re.compile(
    r"^declare -\S+ (\w*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL)\w*)=..+",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True)
class LikelySecret:
    """A place that may hold a secret, and why."""

    where: str
    why: str


class HeldSecrets:
    """Keys and passwords of this installation, which get into no archive."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = sorted({each for each in values if len(each) >= SHORTEST}, key=len, reverse=True)

    def without(self, text: str) -> str:
        """Return JSON without them."""
        for value in self._values:
            text = text.replace(json.dumps(value)[1:-1], REDACTED).replace(value, REDACTED)
        return text

    def within(self, data: bytes) -> bool:
        """Return whether one is in there."""
        return any(value.encode() in data for value in self._values)

    @property
    def longest(self) -> int:
        """Bytes of the longest."""
        return max((len(value.encode()) for value in self._values), default=0)


class SecretSearch:
    """Looks at the files of a tree, piece by piece; see `tree.Content`."""

    def __init__(self, held: HeldSecrets) -> None:
        self._held = held
        self._tail = b""
        self._read = 0
        self._known: set[str] = set()
        self.found: list[LikelySecret] = []

    def __call__(self, entry: TarEntry, piece: bytes) -> None:
        """Look at a piece. Raises `InvalidRequest` for a file with a key of this installation."""
        where = _shown(entry.path)
        if not piece:
            name = where.rpartition("/")[2].lower()
            if entry.kind == "file" and any(fnmatch.fnmatchcase(name, each) for each in _NAMES):
                self._add(where, "its name")
            self._tail, self._read = b"", 0
            return
        seen = self._tail + piece
        if self._held.within(seen):
            raise InvalidRequest(
                f"{where} holds a key or a password of this installation. Nothing was exported.",
                hint="Remove the file from the container, or the key from the file.",
            )
        if self._read < MOST_LOOKED_AT and WELL_KNOWN.search(seen.decode("latin-1")):
            self._add(where, "it has the form of a key or token")
        self._read += len(piece)
        self._tail = seen[-max(self._held.longest, 256) :]

    def text(self, where: str, text: str) -> None:
        """Look at a text that is not a file."""
        if WELL_KNOWN.search(text):
            self._add(where, "it has the form of a key or token")

    def variables(self, state: str) -> None:
        """Look at the state of a shell."""
        for name in _VARIABLE.findall(state):
            self._add(f"the shell's variable {name}", "its name")
        self.text("a variable of the shell", state)

    def _add(self, where: str, why: str) -> None:
        if where not in self._known and len(self.found) < MOST_FOUND:
            self._known.add(where)
            self.found.append(LikelySecret(where, why))


def _shown(path: bytes) -> str:
    root, _, rest = path.partition(b"/")
    return (ROOTS[root] + b"/" + rest).decode("utf-8", "replace")


def listed(found: Sequence[LikelySecret]) -> str:
    """Return a line for each."""
    return "\n".join(
        f"  {''.join(c if c.isprintable() else '?' for c in each.where)} ({each.why})" for each in found
    )
