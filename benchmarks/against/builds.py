"""The two builds: a checkout and the Python that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parents[2]
BUILDS = HERE / "build" / "against"


@dataclass(frozen=True)
class Build:
    """A checkout and an interpreter with its dependencies."""

    name: str
    checkout: Path
    python: str

    def environment(self) -> dict[str, str]:
        """Return the environment in which its modules are the ones imported."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_KERNEL_")}
        return {**kept, "PYTHONPATH": str(self.checkout), "PYTHONDONTWRITEBYTECODE": ""}

    def output(self, *arguments: str) -> str:
        """Run its Python with these arguments in its checkout; return what it prints.

        Raises `CalledProcessError`; what the program writes to stderr goes to ours.
        """
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.checkout,
            env=self.environment(),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if not done.stdout:
            done.check_returncode()
        return done.stdout


def present() -> Build:
    """Return the build that this module is part of."""
    return Build("now", HERE, sys.executable)


def earlier(revision: str) -> Build:
    """Check a revision out and install its dependencies, unless both were done before."""
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}")
    folder = BUILDS / commit
    checkout, environment = folder / "checkout", folder / "venv"
    if not checkout.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _git("worktree", "add", "--force", "--detach", str(checkout), commit)
    stamp = environment / ".installed"
    if not stamp.exists():
        print(f"Installing the dependencies of {commit[:10]}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        lock = str(checkout / "requirements" / "dev.txt")
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
        subprocess.run([*pip, "-r", lock], check=True)
        stamp.touch()
    return Build("before", checkout, str(environment / "bin" / "python"))


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True)
    return done.stdout.strip()
