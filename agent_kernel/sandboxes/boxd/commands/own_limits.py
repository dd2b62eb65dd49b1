"""Undoes limits that a command sets on boxd itself, for example with `prlimit --pid 1`."""

from __future__ import annotations

import resource

_NAMES = ("NOFILE", "FSIZE", "AS", "DATA", "STACK", "NPROC", "CPU")
"""The limits that can stop boxd from working."""

_NUMBERS: list[int] = [getattr(resource, "RLIMIT_" + name) for name in _NAMES]


class OwnLimits:
    """The limits that this process had at its start."""

    def __init__(self) -> None:
        self._began_with = _read()
        self._seen = list(self._began_with)

    def restore(self) -> list[str]:
        """Undo what has changed since the last call, and return what happened as sentences.

        A hard limit that was lowered stays, because raising it takes a capability that no sandbox has.
        """
        found = _read()
        if found == self._seen:
            return []
        words = []
        for name, began_with, seen, now in zip(_NAMES, self._began_with, self._seen, found):  # noqa: B905 (old Python)
            if now == seen:
                continue
            soft, hard = began_with
            if now[1] == hard:
                resource.setrlimit(getattr(resource, "RLIMIT_" + name), (soft, hard))
                words.append("a limit that was set on the sandbox's process 1 was undone: RLIMIT_%s" % name)
            else:
                words.append(
                    "a hard limit was set on the sandbox's process 1 and cannot be undone: RLIMIT_%s = %d; "
                    "if commands fail from now on, start a new container" % (name, now[1])
                )
        self._seen = _read()
        return words


def _read() -> list[tuple[int, int]]:
    return [resource.getrlimit(number) for number in _NUMBERS]
