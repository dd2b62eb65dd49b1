"""Command-line flags, generated from the table of settings so that both always agree."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from agent_kernel import config

WHERE = ("sandbox", "image", "docker_runtime", "backend_settings", "data_dir", "store", "blobs")
"""Settings of every command that creates or lists sandboxes."""


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Add a flag for each named setting. Without the flag the setting comes from the other sources."""
    wanted = set(names)
    group = parser.add_argument_group(
        "settings", "Each can also be set in the environment or a configuration file."
    )
    for setting in config.catalogue():
        if setting.name in wanted and setting.group != "KernelSettings":
            words = setting.trait.words() if isinstance(setting.trait, config.Choice) else None
            source = f" [{setting.variable}]" if setting.variable else ""
            group.add_argument(
                setting.flag,
                dest=setting.name,
                choices=words,
                metavar=None if words else setting.name.upper(),
                help=(setting.help + source).replace("%", "%%"),
            )


def load(arguments: argparse.Namespace, **fixed: object) -> config.Settings:
    """Load all settings and print their warnings on stderr.

    Flags in `arguments` override the other sources; `fixed` overrides the flags.
    """
    names = {setting.name for setting in config.catalogue() if setting.group != "KernelSettings"}
    flags = {name: value for name, value in vars(arguments).items() if name in names}
    settings = config.load({**flags, **fixed})
    for warning in settings.warnings:
        print(f"agent-kernel: {warning}", file=sys.stderr)
    return settings
