"""gVisor as the sandbox's kernel: how it is known, and what its older releases need."""

from __future__ import annotations

import os

VERSION = "#1 SMP Sun Jan 10 15:06:54 PST 2016"
"""What gVisor's kernel has always said of its build."""

STATX = "/usr/lib/agent-kernel/statx.so"
"""Made with the toolbox image: releases before 2023 refuse a flag of `statx` that `ls` and `stat` use."""


def is_kernel() -> bool:
    """Whether this sandbox runs on gVisor."""
    return os.uname().version == VERSION


def environment() -> dict[str, str]:
    """What commands need in their environment beside the rest; empty on other kernels."""
    return {"LD_PRELOAD": STATX} if is_kernel() and os.path.exists(STATX) else {}
