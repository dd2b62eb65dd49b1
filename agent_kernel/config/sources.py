"""The table of all settings, and their loading from files, the environment and flags."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets import TraitError, TraitType
from traitlets.config import Config, Configurable
from traitlets.config.loader import (
    ConfigFileNotFound,
    DeferredConfigString,
    JSONFileConfigLoader,
    PyFileConfigLoader,
)

from agent_kernel.config.groups import (
    ApprovalSettings,
    ContainerSettings,
    RuntimeSettings,
    SandboxSettings,
    ServerSettings,
)
from agent_kernel.config.hosted_tools import DocumentSettings, McpSettings, WebSettings
from agent_kernel.errors import ConfigurationError
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.models.settings import ModelSettings
from agent_kernel.runtime.settings import BudgetSettings, TelemetrySettings

CONFIG_FILE = "jupyter_agent_kernel_config"
NOT_OURS = frozenset({"AGENT_KERNEL_REQUIRE_ALL", "AGENT_KERNEL_TEST_DATA_DIR"})
"""Variables with the prefix of settings that only the tests read."""

GROUPS: tuple[type[Configurable], ...] = (
    ModelSettings,
    SandboxSettings,
    RuntimeSettings,
    ContainerSettings,
    BudgetSettings,
    TelemetrySettings,
    ApprovalSettings,
    McpSettings,
    WebSettings,
    ServerSettings,
    DocumentSettings,
    KernelSettings,
)


@dataclass(frozen=True)
class Setting:
    """A row of the table of settings."""

    group: str
    name: str
    trait: TraitType[Any, Any]

    @property
    def variable(self) -> str | None:
        """The environment variable that sets it."""
        return self.trait.metadata.get("variable")

    @property
    def fallback(self) -> str | None:
        """The variable to use if `variable` is not set."""
        return self.trait.metadata.get("fallback")

    @property
    def flag(self) -> str:
        """The command-line flag, derived from the variable, or from the name if there is none."""
        name = self.variable.removeprefix("AGENT_KERNEL_") if self.variable else self.name
        return "--" + name.lower().replace("_", "-")

    @property
    def help(self) -> str:
        """The help text, on one line."""
        return " ".join(self.trait.help.split())


def catalogue() -> Iterator[Setting]:
    """Yield every setting, in the order of the documentation."""
    for group in GROUPS:
        for name, trait in group.class_own_traits(config=True).items():
            yield Setting(group.__name__, name, trait)


@dataclass(frozen=True)
class Settings:
    """The loaded settings, by group. `warnings` are sentences for the user. The repr shows no values."""

    model: ModelSettings
    sandbox: SandboxSettings
    runtime: RuntimeSettings
    container: ContainerSettings
    budget: BudgetSettings
    telemetry: TelemetrySettings
    approval: ApprovalSettings
    mcp: McpSettings
    web: WebSettings
    server: ServerSettings
    documents: DocumentSettings
    kernel: KernelSettings
    warnings: tuple[str, ...] = ()

    def secrets(self) -> frozenset[str]:
        """Return the values of all secret settings: keys and passwords, each on its own."""
        upstreams = self.model.upstreams.values()
        urls = [self.runtime.store, self.model.upstream_url, self.model.anthropic_url]
        urls += [self.documents.embeddings_url, self.web.web_search_url]
        urls += [*(str(each["url"]) for each in upstreams)]
        own = [self.model.upstream_key, self.model.anthropic_key, self.runtime.api_key]
        own += [self.documents.embeddings_key, self.web.web_search_key]
        keys = [*own, *(each["key"] for each in upstreams)]
        return frozenset(filter(None, [*keys, *(urlsplit(url).password for url in urls)]))


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    folders: Sequence[str] | None = None,
) -> Settings:
    """Load the settings from all sources. `flags` maps names of settings to values; None means "not given".

    `folders` are searched for configuration files, the most important first (default: Jupyter's).
    Raises `ConfigurationError` for an invalid value or file.
    """
    environ = os.environ if environ is None else environ
    config = Config()
    for source in (*_files(folders), _environment(environ), _flags(flags or {})):
        config.merge(source)
    try:
        groups = [group(config=config) for group in GROUPS]
    except TraitError as error:
        raise ConfigurationError(
            f"A setting cannot be used: {str(error).rstrip('.')}.",
            hint="docs/configuration.md lists all settings and their values.",
        ) from None
    named = zip((each.name for each in fields(Settings)), groups, strict=False)  # the same order
    return Settings(**dict(named), warnings=tuple(_misspelt(environ)))  # type: ignore[arg-type]


def environment_with(**variables: str) -> dict[str, str]:
    """Return the environment for a child process: that of this process, with only `variables` as settings.

    The address and key of an upstream are left out too, so that the child plays the shipped script.
    """
    ours = {name for setting in catalogue() for name in (setting.variable, setting.fallback) if name}
    return {**{name: value for name, value in os.environ.items() if name not in ours}, **variables}


def environment_over(**variables: str) -> dict[str, str]:
    """Return this process's environment for a child, with these variables instead of its own."""
    return {**os.environ, **variables}


def _files(folders: Sequence[str] | None) -> Iterator[Config]:
    """Yield the settings of each existing configuration file, the least important first."""
    if folders is None:
        from jupyter_core.paths import jupyter_config_path

        folders = jupyter_config_path()
    for folder in reversed(folders):
        for loader in (JSONFileConfigLoader, PyFileConfigLoader):
            suffix = ".json" if loader is JSONFileConfigLoader else ".py"
            try:
                yield loader(CONFIG_FILE + suffix, folder).load_config()
            except ConfigFileNotFound:
                continue
            except Exception as error:
                raise ConfigurationError(
                    f"{Path(folder, CONFIG_FILE + suffix)} cannot be read: {type(error).__name__}: {error}.",
                    hint="Correct or remove the file.",
                ) from error


def _environment(environ: Mapping[str, str]) -> Config:
    config = Config()
    for setting in catalogue():
        names = [name for name in (setting.variable, setting.fallback) if name and environ.get(name)]
        if names:
            config[setting.group][setting.name] = DeferredConfigString(environ[names[0]])
    return config


def _flags(flags: Mapping[str, object]) -> Config:
    config = Config()
    homes = {setting.name: setting.group for setting in catalogue() if setting.group != "KernelSettings"}
    for name, value in flags.items():
        if value is not None:
            config[homes[name]][name] = DeferredConfigString(value) if isinstance(value, str) else value
    return config


def _misspelt(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable with the prefix of settings that is not one."""
    known = {setting.variable for setting in catalogue() if setting.variable} | NOT_OURS
    for name in sorted(environ):
        if name.startswith("AGENT_KERNEL_") and name not in known:
            import difflib  # here, because no start needs it

            nearest = difflib.get_close_matches(name, sorted(known - NOT_OURS), n=1, cutoff=0.0)
            yield f"{name} is not a setting and is ignored. Did you mean {nearest[0]}?"
