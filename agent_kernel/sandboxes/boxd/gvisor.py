"""Recognises gVisor as the sandbox's kernel, and sets what its older releases need."""

from __future__ import annotations

import os

VERSION = "#1 SMP Sun Jan 10 15:06:54 PST 2016"
"""The build string of every gVisor kernel."""

STATX = "/usr/lib/agent-kernel/statx.so"
"""Part of the toolbox image: releases before 2023 refuse a `statx` flag that `ls` and `stat` use."""


def is_kernel() -> bool:
    """Return whether this sandbox runs on gVisor."""
    return os.uname().version == VERSION


def environment() -> dict[str, str]:
    """Return the variables that commands need in addition; empty on other kernels."""
    return {"LD_PRELOAD": STATX} if is_kernel() and os.path.exists(STATX) else {}
