"""The file or folder that a command writes: checked before the work, and its errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_kernel.errors import AgentKernelError, ConfigurationError


def check_target(target: Path, *, force: bool) -> None:
    """Raise `ConfigurationError` if `target` cannot be written, or is there and `force` is not given."""
    with write_errors(target):
        if not target.parent.is_dir():
            raise ConfigurationError(f"There is no folder {target.parent}.", hint="Create it first.")
        if target.is_dir():
            raise ConfigurationError(f"{target} is a folder.", hint="Name a file.")
        if target.exists() and not force:
            raise ConfigurationError(f"There is a file {target} already.", hint="To replace it, add --force.")


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise `ConfigurationError` if the folder cannot be written, or has files and `force` is not given."""
    with write_errors(folder):
        if not folder.parent.is_dir():
            raise ConfigurationError(f"There is no folder {folder.parent}.", hint="Create it first.")
        if folder.exists() and not folder.is_dir():
            raise ConfigurationError(
                f"{folder} is a file.", hint="Name a folder: it gets a notebook and a script."
            )
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise ConfigurationError(
                f"The folder {folder} is not empty.", hint="To write into it, add --force."
            )


@contextmanager
def write_errors(target: Path | str) -> Iterator[None]:
    """Raise `ConfigurationError` for an `OSError` about `target`, such as a full disk."""
    try:
        yield
    except (AgentKernelError, BrokenPipeError):  # a broken pipe: the reader of what is printed has closed it
        raise
    except OSError as error:
        raise ConfigurationError(
            f"{target} cannot be written: {error.strerror or error}.",
            hint="Free space there, or name another place.",
        ) from error
