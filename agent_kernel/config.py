"""Every setting, where it comes from, and what it may be. The environment is read here and nowhere else.

A later source wins over an earlier one:

1. the default, documented with each setting below;
2. `jupyter_agent_kernel_config.py` (or `.json`) in Jupyter's configuration folders;
3. the environment (`AGENT_KERNEL_*`; an empty variable counts as not set);
4. the command line;
5. in the notebook: its metadata, magics (`%model`), the metadata of a cell.

Settings live in small Configurables, each beside what it configures; `Settings` composes them.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from traitlets import Bool, Float, HasTraits, Int, TraitError, TraitType, Unicode
from traitlets.config import Config, Configurable
from traitlets.config.loader import (
    ConfigFileNotFound,
    DeferredConfigString,
    JSONFileConfigLoader,
    PyFileConfigLoader,
)

from agent_kernel.errors import ConfigurationError
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.models.settings import ModelSettings
from agent_kernel.policy.rules import MODES, Policy, read_policy
from agent_kernel.runtime.settings import BudgetSettings, TelemetrySettings


class Choice(Unicode[str, str]):
    """A word from a set; the error names all of them.

    `words` in the trait's metadata are the usual ones. `more`, if there, is a function that returns all; it
    is called only for a word that is not among `words`.
    """

    def validate(self, obj: HasTraits, value: Any) -> str:
        """Refuse any other word, instead of guessing which was meant."""
        text: str = super().validate(obj, value)
        if text not in self.metadata["words"] and text not in self.words():
            name = self.metadata.get("variable", self.name)
            raise TraitError(f"{name} is {text!r}, and may be {', '.join(self.words())}")
        return text

    def words(self) -> Sequence[str]:
        """Return all words that it may be."""
        more: Callable[[], Sequence[str]] | None = self.metadata.get("more")
        words: Sequence[str] = self.metadata["words"] if more is None else more()
        return words


def _sandboxes() -> list[str]:
    from agent_kernel.sandboxes.catalogue import AUTO, names

    return [AUTO, *names()]


CONFIG_FILE = "jupyter_agent_kernel_config"
NOT_OURS = frozenset({"AGENT_KERNEL_REQUIRE_ALL", "AGENT_KERNEL_TEST_DATA_DIR"})
"""Variables of such a name that are read elsewhere (by the tests)."""


class SandboxSettings(Configurable):
    """Where commands run."""

    sandbox = Choice(
        "auto",
        help="""`docker`, `bubblewrap`, a backend of another package, or `auto`: Docker where an engine
        answers, otherwise bubblewrap.""",
    ).tag(
        config=True,
        variable="AGENT_KERNEL_SANDBOX",
        words=("auto", "docker", "bubblewrap"),
        more=_sandboxes,
    )
    image = Unicode(
        "",
        help="""Docker image of the sandboxes; it needs bash and Python >= 3.8. Empty: the toolbox image that
        `agent-kernel image build` makes.""",
    ).tag(config=True, variable="AGENT_KERNEL_IMAGE")
    docker_runtime = Unicode(
        "",
        help="""OCI runtime of the engine: `runc`, `runsc` (gVisor), `kata` ... Empty: the engine's own.""",
    ).tag(config=True, variable="AGENT_KERNEL_DOCKER_RUNTIME")


class RuntimeSettings(Configurable):
    """Where turns run, and what they leave."""

    runtime_url = Unicode(
        "",
        help="""Address of a Responses server (such as `agent-kernel serve`), up to and including `/v1`, that
        the kernel uses. Empty: the kernel runs turns itself.""",
    ).tag(config=True, variable="AGENT_KERNEL_RUNTIME_URL")
    api_key = Unicode(
        "",
        help="""The server's own key: `serve` asks for it, a kernel with a runtime's address sends it. Empty:
        none; `serve` then listens on loopback only.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_API_KEY")
    data_dir = Unicode(
        "",
        help="""Folder of the store, the toolbox and the embedded sandboxes. Empty: `agent-kernel` in
        Jupyter's data folder.""",
    ).tag(config=True, variable="AGENT_KERNEL_DATA_DIR")
    store = Unicode(
        "sqlite",
        help="""Where responses, conversations and containers are recorded: `sqlite`, a file in the data
        folder, or `postgresql://USER:PASSWORD@HOST/DATABASE`, which needs the extra `postgres`. Uploaded
        files stay in the data folder, and all servers of one store must run on one machine.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_STORE")
    skills = Unicode(
        "",
        help="""Folder with skills that requests may name: each a folder with a `SKILL.md`. Empty: there are
        none but those that a request brings along.""",
    ).tag(config=True, variable="AGENT_KERNEL_SKILLS")
    kernel_lease = Float(
        60.0,
        min=1.0,
        help="""Seconds that a notebook's container lives on after its kernel has died.""",
    ).tag(config=True)
    server_lease = Float(
        1200.0,
        min=1.0,
        help="""Seconds that a server's container lives on after the server has died.""",
    ).tag(config=True)
    background_restart = Choice(
        "resume",
        help="""What a server does with background turns whose server has died: `resume` them, and go on with
        a command that still runs, or `end` all of them as incomplete.""",
    ).tag(config=True, variable="AGENT_KERNEL_BACKGROUND_RESTART", words=("resume", "end"))
    retention_days = Float(
        0.0,
        min=0.0,
        help="""Days after which a server deletes stored responses that no later turn continues. 0: never.""",
    ).tag(config=True, variable="AGENT_KERNEL_RETENTION_DAYS")

    def data_path(self) -> Path:
        """The data folder; it need not exist yet."""
        if self.data_dir:
            return Path(self.data_dir).expanduser().absolute()
        from jupyter_core.paths import jupyter_data_dir

        return Path(jupyter_data_dir()) / "agent-kernel"


class ContainerSettings(Configurable):
    """How long containers stay, and what is kept and written down of them; docs/containers.md explains."""

    pause_after = Float(
        60.0,
        min=0.0,
        help="""Seconds without any operation until nothing in a container runs; the next command wakes it.
        0: never.""",
    ).tag(config=True, variable="AGENT_KERNEL_PAUSE_AFTER")
    keep_expired = Bool(
        True,
        help="""Keep a checkpoint of a container that expires: its next use brings it back.""",
    ).tag(config=True, variable="AGENT_KERNEL_KEEP_EXPIRED")
    checkpoint_size = Int(
        10 << 30,
        min=0,
        help="""Bytes of all those checkpoints together; over it the oldest is removed first.""",
    ).tag(config=True)
    checkpoint_days = Float(7.0, min=0.0, help="""Days after which such a checkpoint is removed.""").tag(
        config=True
    )
    warm = Int(
        0,
        min=0,
        max=100,
        help="""Containers that a server keeps ready before they are asked for. A kernel keeps none.""",
    ).tag(config=True, variable="AGENT_KERNEL_WARM")
    upload_limit = Int(
        512 << 20,
        min=0,
        help="""Bytes: the largest file that a client may upload. `KernelSettings.max_upload` is what
        `%upload` sends.""",
    ).tag(config=True, variable="AGENT_KERNEL_UPLOAD_LIMIT")
    audit = Unicode(
        "",
        help="""File of the audit log. Empty: `audit.jsonl` in the data folder. `off`: none is written.""",
    ).tag(config=True, variable="AGENT_KERNEL_AUDIT")


class ApprovalSettings(Configurable):
    """What runs by itself, what somebody is asked about, what never runs; docs/approvals.md explains."""

    approval = Choice(
        "auto",
        help="""What becomes of a command that no rule is about: `auto` runs it, `ask` asks first, `never`
        denies it. Notebooks and requests can be stricter, never looser.""",
    ).tag(config=True, variable="AGENT_KERNEL_APPROVAL", words=tuple(MODES))
    approval_rules = Unicode(
        "",
        help="""TOML file with rules about commands, in order. Empty: there are none.""",
    ).tag(config=True, variable="AGENT_KERNEL_APPROVAL_RULES")

    def policy(self) -> Policy:
        """Both together. Raises `ConfigurationError` for a file that cannot be used: no rule is skipped."""
        path = Path(self.approval_rules).expanduser()
        try:
            read = tomllib.loads(path.read_text("utf-8")) if self.approval_rules else {}
            if "default" in read:
                raise ValueError("approval.default stands in AGENT_KERNEL_APPROVAL, not among the rules")
            return read_policy({**read, "default": self.approval})
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(
                f"The rules of approvals in {path} cannot be used: {str(why).rstrip('.')}.",
                hint="docs/approvals.md shows how they are written.",
            ) from None


class ServerSettings(Configurable):
    """Where `agent-kernel serve` listens, and what it says."""

    host = Unicode("127.0.0.1", help="""Address to listen on; anything but loopback needs a key.""").tag(
        config=True
    )
    port = Int(8642, min=0, max=65535, help="""Port to listen on; 0 takes a free one and says which.""").tag(
        config=True
    )
    turns_per_key = Int(0, min=0, help="""Turns that each key can run at the same time. 0: no limit.""").tag(
        config=True
    )
    containers_per_key = Int(
        0, min=0, help="""Containers of each key that can be alive at the same time. 0: no limit."""
    ).tag(config=True)
    bytes_per_key = Int(
        0,
        min=0,
        help="""Bytes of files that each key can store; as many again of its expired containers. 0: no
        limit.""",
    ).tag(config=True)
    requests_per_minute = Int(
        0, min=0, help="""Requests that can be sent with each key in a minute. 0: no limit."""
    ).tag(config=True)
    max_connections = Int(
        500, min=1, help="""Connections at the same time; more are told to come back later."""
    ).tag(config=True)
    log = Choice(
        "text",
        help="""How `serve` writes its log on stderr: `text`, or `json`, an object per line with the ids of
        response and container.""",
    ).tag(config=True, variable="AGENT_KERNEL_LOG", words=("text", "json"))


GROUPS: tuple[type[Configurable], ...] = (
    ModelSettings,
    SandboxSettings,
    RuntimeSettings,
    ContainerSettings,
    BudgetSettings,
    TelemetrySettings,
    ApprovalSettings,
    ServerSettings,
    KernelSettings,
)


@dataclass(frozen=True)
class Setting:
    """One row of the table of settings."""

    group: str
    name: str
    trait: TraitType[Any, Any]

    @property
    def variable(self) -> str | None:
        """The environment variable that sets it."""
        return self.trait.metadata.get("variable")

    @property
    def fallback(self) -> str | None:
        """The variable that is taken where `variable` is not set."""
        return self.trait.metadata.get("fallback")

    @property
    def flag(self) -> str:
        """Its name on the command line: the variable's, in a flag's spelling."""
        name = self.variable.removeprefix("AGENT_KERNEL_") if self.variable else self.name
        return "--" + name.lower().replace("_", "-")

    @property
    def help(self) -> str:
        """What it means, on one line."""
        return " ".join(self.trait.help.split())


def catalogue() -> Iterator[Setting]:
    """Every setting there is, in the order of the documentation."""
    for group in GROUPS:
        for name, trait in group.class_own_traits(config=True).items():
            yield Setting(group.__name__, name, trait)


@dataclass(frozen=True)
class Settings:
    """All groups, filled. `warnings` are sentences for the person. Its repr shows no value of any setting."""

    model: ModelSettings
    sandbox: SandboxSettings
    runtime: RuntimeSettings
    container: ContainerSettings
    budget: BudgetSettings
    telemetry: TelemetrySettings
    approval: ApprovalSettings
    server: ServerSettings
    kernel: KernelSettings
    warnings: tuple[str, ...] = ()


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    folders: Sequence[str] | None = None,
) -> Settings:
    """Read every source. `flags` maps a setting's name to its value; None there means "not given".

    `folders` are where configuration files are looked for, the most important first (default: Jupyter's).
    Raises `ConfigurationError` for a value or a file that cannot be used.
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
    """The environment for a child process: ours, but with these settings and none of our others.

    An upstream's address and key are left out as well, so that the child plays the shipped script.
    """
    ours = {name for setting in catalogue() for name in (setting.variable, setting.fallback) if name}
    return {**{name: value for name, value in os.environ.items() if name not in ours}, **variables}


def _files(folders: Sequence[str] | None) -> Iterator[Config]:
    """The configuration files that exist, the least important first."""
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
                    hint="Correct the file or move it away.",
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
    """A sentence for each variable that looks like ours and is not."""
    known = {setting.variable for setting in catalogue() if setting.variable} | NOT_OURS
    for name in sorted(environ):
        if name.startswith("AGENT_KERNEL_") and name not in known:
            nearest = difflib.get_close_matches(name, sorted(known - NOT_OURS), n=1, cutoff=0.0)
            yield f"{name} is not a setting and is ignored; the nearest is {nearest[0]}."
