"""What a session sends while its cell runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import CHECKOUT


@pytest.mark.parametrize("count", ["80", pytest.param("300", marks=pytest.mark.slow)])
def test_an_interrupt_never_keeps_the_lock(count: str) -> None:
    command = [sys.executable, "-m", "tests.tools.code_interpreter.interrupts", count]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, timeout=100)
    assert ended.returncode == 0, ended.stderr.decode()
