"""The lookup of models by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.models.base import Model
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.direct import DirectModel, ScreenModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.retry import RetryPolicy
from agent_kernel.models.script import PACKAGED, load, load_packaged, packaged_names
from agent_kernel.models.scripted import ScriptedModel
from agent_kernel.models.upstream import DEFAULT_RETRY, OPENAI_URL, SILENCE, Upstream
from agent_kernel.tools.code_interpreter.tool import CODE_INTERPRETER

ANTHROPIC_URL = "https://api.anthropic.com/v1"
ANTHROPIC_SETTINGS = "AGENT_KERNEL_ANTHROPIC_URL", "AGENT_KERNEL_ANTHROPIC_KEY or ANTHROPIC_API_KEY"
OLLAMA_URL = "http://127.0.0.1:11434/v1"
DIRECT, PYTHON = "agent_kernel/shell", "agent_kernel/python"
SCREEN = "agent_kernel/screen"
AGENT_DIRECT, AGENT_PYTHON = "agent_kernel/agent_shell", "agent_kernel/agent_python"

_FORMS = (
    "openai/<model>, responses/<model>, chat/<model>, anthropic/<model>, ollama/<model>, scripted/<file>",
    "replay/<file>",
    DIRECT,
    PYTHON,
)

NOT_FOUND = "model_not_found"
"""Error code for a name that no model has."""

Dialect = Literal["openai", "responses", "chat", "anthropic"]
Shell = Literal["auto", "native", "function"]
"""How an upstream gets the shell. `auto`: OpenAI's own gets its native tool, any other a function."""
DIALECTS: Mapping[str, Dialect] = {
    "openai": "openai",
    "responses": "responses",
    "chat": "chat",
    "ollama": "chat",
    "anthropic": "anthropic",
}
"""Dialects of the built-in prefixes."""


@dataclass(frozen=True)
class NamedUpstream:
    """An upstream with its own prefix. `dialect` is one of those in the table of `Models`.

    `context_window` is the size of its models' windows in tokens; None: that of `UpstreamOptions`.
    `settings` names the settings of its address and key, for error messages; None: its entry in the table.
    """

    dialect: Dialect
    url: str
    key: str | None = None
    shell: Shell = "auto"
    context_window: int | None = None
    settings: tuple[str, str] | None = None


@dataclass(frozen=True)
class UpstreamOptions:
    """Settings of all upstreams; see `Upstream`."""

    silence: float = SILENCE
    context_window: int | None = None
    """Tokens; None: that of the model, if it is known."""


DEFAULT_OPTIONS = UpstreamOptions()

_OWN: Mapping[str, Callable[[], Model]] = {
    DIRECT: DirectModel,
    PYTHON: lambda: DirectModel(CODE_INTERPRETER, "code"),
    AGENT_DIRECT: lambda: DirectModel(by_person=False),
    AGENT_PYTHON: lambda: DirectModel(CODE_INTERPRETER, "code", by_person=False),
    SCREEN: ScreenModel,
}


class Models:
    """All models that can be named.

    | name | model |
    |---|---|
    | `openai/<model>` | Responses API with encrypted reasoning; at OpenAI with its native shell tool |
    | `responses/<model>` | Responses API of any server; the shell tool is offered as a function |
    | `chat/<model>` | Chat Completions |
    | `anthropic/<model>` | Anthropic's Messages API, if `upstreams` has it; needs the extra `anthropic` |
    | `ollama/<model>` | Chat Completions of a local Ollama, unless a URL is set; needs no key |
    | `scripted/<file>` | plays a file: a path ending in .yaml or .yml, or a packaged script's name |
    | `scripted/demo` | plays all packaged scripts |
    | `replay/<file>` | plays a cassette, see `cassettes` |
    | `agent_kernel/shell` | no model: the message is run as a command |
    | `agent_kernel/python` | no model: the message is run in the Python session |
    | `agent_kernel/agent_shell`, `agent_kernel/agent_python` | the same, judged as a model's call |
    | `agent_kernel/screen` | no model: a screenshot of the container's desktop is taken |
    | `<name>/<model>` | the upstream of that name in `upstreams`, which may be one of the first five too |
    | a name without a prefix | as with `openai/`, if there is a key or a URL |

    `upstream_url` None means OpenAI; `upstream_key` None means that no key is sent. `default` is the model
    for requests that name none; None means that each request must name one. `script_files` False allows no
    path after `scripted/` and `replay/` except in `default`: callers of a server must not make it open files.
    `retry` and `options`: see `Upstream`. Models are created on first use, one per prefix, and kept until
    `aclose`.
    """

    def __init__(
        self,
        *,
        upstream_url: str | None,
        upstream_key: str | None,
        default: str | None,
        script_files: bool = True,
        upstreams: Mapping[str, NamedUpstream] | None = None,
        retry: RetryPolicy = DEFAULT_RETRY,
        options: UpstreamOptions = DEFAULT_OPTIONS,
    ) -> None:
        self._url = upstream_url or None
        self._key = upstream_key or None
        self.default = default or None
        self._script_files = script_files
        self._upstreams = dict(upstreams or {})
        self._retry = retry
        self._options = options
        self._bodies: dict[str, Model] = {}
        self._files: dict[tuple[str, Path], tuple[tuple[int, int, int], Model]] = {}

    def resolve(self, name: str | None) -> tuple[Model, str]:
        """Return the model for `name`, and the name that its upstream knows it by.

        None and "" mean the default. Raises `InvalidRequest` for an unknown prefix, for one that needs an
        upstream when none is set, and for no name when there is no default. Raises `ConfigurationError` if
        the default needs an upstream, or a script or cassette is invalid. Makes no network request.
        """
        asked, name = name or None, name or self.default
        if name is None:
            raise InvalidRequest(
                "No model was given, and there is no default: an upstream is set, but no model.",
                hint="Set AGENT_KERNEL_MODEL, for example to openai/NAME, or choose one: %model openai/NAME",
                param="model",
                code="missing_required_parameter",
            )
        prefix, slash, rest = name.partition("/")
        if name in _OWN:
            return self._body(name, _OWN[name]), name
        if slash and not rest:
            raise InvalidRequest(
                f"The model name {name!r} has nothing after its prefix.",
                hint=self._known(),
                param="model",
                code=NOT_FOUND,
            )
        if prefix in ("scripted", "replay") and slash:
            return (self._scripted if prefix == "scripted" else self._replayed)(name, rest)
        if not slash:
            prefix, rest = "openai", name
        if prefix in self._upstreams:
            return self._body(prefix, lambda: self._named(prefix)), rest
        if prefix not in DIALECTS:
            raise InvalidRequest(
                f"No such model: {name!r}.", hint=self._known(), param="model", code=NOT_FOUND
            )
        self._check_upstream(name, prefix, default=asked is None)
        return self._body(prefix, lambda: self._unnamed(prefix)), rest

    def _check_upstream(self, name: str, prefix: str, *, default: bool) -> None:
        """Raise an error if the upstream of a built-in prefix is not configured."""
        own = prefix == "anthropic"  # its key and address serve no other prefix
        if not own and (prefix == "ollama" or self._url is not None or self._key is not None):
            return
        words = f"The model {name!r} needs an upstream, but none is configured."
        hint = "Set AGENT_KERNEL_UPSTREAM_KEY for OpenAI, or AGENT_KERNEL_UPSTREAM_URL for others."
        if own:
            hint = "Set ANTHROPIC_API_KEY, or AGENT_KERNEL_ANTHROPIC_URL for another server."
        if default:
            raise ConfigurationError(words, hint=hint)
        raise InvalidRequest(words, hint=hint, param="model", code=NOT_FOUND)

    def names(self) -> list[str]:
        """List the default, then the other models that are known without asking an upstream."""
        scripted = ["scripted/demo", *(f"scripted/{name}" for name in packaged_names())]
        return list(dict.fromkeys([*filter(None, [self.default]), *scripted, DIRECT, PYTHON]))

    async def aclose(self) -> None:
        """Close all connections. Idempotent. `resolve` afterwards creates the models again."""
        bodies, self._bodies = list(self._bodies.values()), {}
        for body in bodies:
            await body.aclose()

    def _unnamed(self, prefix: str) -> Model:
        url = self._url or (OLLAMA_URL if prefix == "ollama" else OPENAI_URL)
        options = self._options
        upstream = Upstream(
            url, self._key, retry=self._retry, silence=options.silence, window=options.context_window
        )
        return _speaking(DIALECTS[prefix], upstream)

    def _named(self, prefix: str) -> Model:
        """Return the models of a named upstream. Raises `ConfigurationError` if an extra is missing."""
        named = self._upstreams[prefix]
        url, key = (f"the {what} of {prefix!r} in AGENT_KERNEL_UPSTREAMS" for what in ("url", "key"))
        made = _messages_upstream() if named.dialect == "anthropic" else Upstream
        upstream = made(
            named.url,
            named.key,
            retry=self._retry,
            silence=self._options.silence,
            settings=named.settings or (url, key),
            window=named.context_window or self._options.context_window,
        )
        return _speaking(named.dialect, upstream, named.shell)

    def _known(self) -> str:
        named = [f"{prefix}/<model>" for prefix in self._upstreams if prefix not in DIALECTS]
        return f"Model names have the forms {', '.join([*named, *_FORMS])}."

    def _body(self, key: str, make: Callable[[], Model]) -> Model:
        if key not in self._bodies:
            self._bodies[key] = make()
        return self._bodies[key]

    def _scripted(self, name: str, file: str) -> tuple[Model, str]:
        if file == "demo":
            return self._body(name, lambda: ScriptedModel(load_packaged())), file
        if file in packaged_names():
            return self._body(name, lambda: ScriptedModel(load(PACKAGED / f"{file}.yaml"))), file
        if not file.endswith((".yaml", ".yml")):
            known = ", ".join(["demo", *packaged_names()])
            raise InvalidRequest(
                f"No such packaged script: {file!r}.",
                hint=f"Packaged scripts: {known}. A script file's name ends in .yaml or .yml.",
                param="model",
                code=NOT_FOUND,
            )
        self._check_file(name, "packaged scripts", "Ask for scripted/demo")
        return self._played("scripted", Path(file).expanduser(), lambda path: ScriptedModel(load(path))), file

    def _replayed(self, name: str, file: str) -> tuple[Model, str]:
        if not file.endswith((".yaml", ".yml")):
            raise InvalidRequest(
                f"{name!r} names no cassette.",
                hint="A cassette's name ends in .yaml or .yml: replay/cassettes/NOTEBOOK.yaml",
                param="model",
                code=NOT_FOUND,
            )
        self._check_file(name, "own models", "Ask for another model")
        return self._played("replay", Path(file).expanduser(), _replay), file

    def _check_file(self, name: str, plays: str, instead: str) -> None:
        if not self._script_files and name != self.default:
            raise InvalidRequest(
                f"This server plays only its {plays}.",
                hint=f"{instead}, or start the server with {name!r} as its model.",
                param="model",
                code=NOT_FOUND,
            )

    def _played(self, prefix: str, path: Path, make: Callable[[Path], Model]) -> Model:
        """Return the file in its present version: its author may edit it between two turns."""
        try:
            found = path.stat()
        except (OSError, ValueError):
            return make(path)  # raises the error that explains it
        version = (found.st_ino, found.st_mtime_ns, found.st_size)
        known = self._files.get((prefix, path))
        if known is None or known[0] != version:
            known = self._files[prefix, path] = version, make(path)
        return known[1]


def _messages_upstream() -> type[Upstream]:
    """Return the upstream of the Messages API. Raises `ConfigurationError` if its package is missing."""
    if importlib.util.find_spec("anthropic") is None:
        raise ConfigurationError(
            "Anthropic's models need the package `anthropic`, which is not installed.",
            hint="Run: pip install 'jupyter-agent-kernel[anthropic]'",
        )
    from agent_kernel.models.anthropic.client import AnthropicUpstream

    return AnthropicUpstream


def _replay(path: Path) -> Model:
    from agent_kernel.cassettes.reading import read
    from agent_kernel.models.replay.model import ReplayModel

    return ReplayModel(path, read(path))


def _speaking(dialect: Dialect, upstream: Upstream, shell: Shell = "auto") -> Model:
    if dialect == "chat":
        return ChatModel(upstream)
    if dialect == "anthropic":
        from agent_kernel.models.anthropic.model import AnthropicModel

        return AnthropicModel(upstream)
    native = dialect == "openai"
    if shell == "auto":  # other servers accept the unknown tool type and never show it to the model
        return ResponsesModel(
            upstream, native=native, native_shell=native and upstream.is_openai, announce=native
        )
    return ResponsesModel(upstream, native=native, native_shell=shell == "native")
