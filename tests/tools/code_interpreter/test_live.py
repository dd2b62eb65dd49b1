"""What a session sends while its cell runs."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import CHECKOUT


def test_an_interrupt_never_keeps_the_lock() -> None:
    command = [sys.executable, "-m", "tests.tools.code_interpreter.interrupts"]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, timeout=100)
    assert ended.returncode == 0, ended.stderr.decode()
