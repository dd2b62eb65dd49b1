"""Which commands only look at something: leaving them out changes nothing that comes after them.

The rule errs on the safe side. A command only looks if its text consists of plain programs with literal
words, all known to write nothing, and no step has defined a function or an alias of such a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent_kernel.policy.commands import plain_commands

_PROGRAMS = (
    "cat", "column", "df", "du", "echo", "free", "grep", "head", "ls", "nl", "nproc", "pwd", "stat", "tail",
    "uname", "wc", "which", "whoami", "zcat",
)  # fmt: skip
_REDEFINED = re.compile(rf"\b(?:{'|'.join(_PROGRAMS)})\s*(?:\(\)|=)|\bfunction\s|\benable\b|\balias\b")
_DEPENDS = re.compile(r"\$[?_!]|PIPESTATUS|\bfc\b|\bhistory\b")
"""What depends on the command before it."""


def only_looks(command: str) -> bool:
    """Return whether a command reads and prints, and does nothing else."""
    plain = plain_commands(command.strip())
    return plain is not None and all(words[0] in _PROGRAMS for words in plain)


def is_safe(commands: Iterable[str]) -> bool:
    """Return whether the commands of a session leave the meaning of each other alone."""
    return not any(_REDEFINED.search(each) or _DEPENDS.search(each) for each in commands)
