"""The settings of models and their upstreams."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from traitlets import Dict, Float, HasTraits, Int, TraitError, Unicode
from traitlets.config import Configurable

SCRIPTED_DEFAULT = "scripted/demo"
_DIALECTS = ("openai", "responses", "chat", "anthropic")
_NOT_UPSTREAMS = ("scripted", "replay", "agent_kernel")
_SHELLS = ("auto", "native", "function")
_TEXTS = ("url", "key", "dialect", "shell")
_IMPLIED = {**{name: name for name in _DIALECTS}, "ollama": "chat"}


class Upstreams(Dict):
    """A trait: upstreams by the prefix of their models' names.

    Each is an object with `url`, `key` and `dialect`; `shell` and `context_window` only if they are set.
    """

    def from_string(self, s: str) -> Any:
        """Return the text as it is; `validate` parses it, because errors raised here are lost."""
        return s

    def validate(self, obj: HasTraits, value: Any) -> dict[str, Any]:
        """Check each upstream without showing keys in errors; text is parsed as JSON. Raises `TraitError`."""
        if isinstance(value, str):
            with suppress(ValueError):
                value = json.loads(value)
        if not isinstance(value, Mapping):
            raise TraitError("AGENT_KERNEL_UPSTREAMS must be an object in JSON")
        return {name: _checked(name, entry) for name, entry in value.items()}


def _checked(name: object, entry: object) -> dict[str, Any]:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or name in _NOT_UPSTREAMS:
        raise TraitError(f"upstreams: {name!r} cannot be a prefix of models")
    if not isinstance(entry, Mapping):
        raise TraitError(f"upstreams: {name!r} must be an object")
    unknown = sorted(map(str, set(entry) - {*_TEXTS, "context_window"}))
    if unknown:
        known = f"{', '.join(_TEXTS)} and context_window"
        raise TraitError(f"upstreams: {name!r} has {unknown[0]!r}; there are {known}")
    if not all(isinstance(entry.get(each), str | None) for each in _TEXTS):
        raise TraitError(f"upstreams: {', '.join(_TEXTS)} of {name!r} must be strings")
    if not (entry.get("url") or "").startswith(("http://", "https://")):
        raise TraitError(f"upstreams: {name!r} needs a url that begins with http:// or https://")
    dialect = entry.get("dialect") or _IMPLIED.get(name)
    if dialect not in _DIALECTS:
        raise TraitError(f"upstreams: {name!r} needs a dialect, which may be {', '.join(_DIALECTS)}")
    checked = {"url": entry["url"], "key": entry.get("key") or None, "dialect": dialect}
    return {**checked, **_shell_of(name, entry, dialect), **_window_of(name, entry)}


def _shell_of(name: str, entry: Mapping[str, Any], dialect: str) -> dict[str, str]:
    shell = entry.get("shell")
    if not shell:
        return {}
    if shell not in _SHELLS:
        raise TraitError(f"upstreams: the shell of {name!r} must be one of {', '.join(_SHELLS)}")
    if shell == "native" and dialect == "chat":
        raise TraitError(f"upstreams: {name!r} speaks chat, which has no native shell")
    return {"shell": shell}


def _window_of(name: str, entry: Mapping[str, Any]) -> dict[str, int]:
    window = entry.get("context_window")
    if window is None:
        return {}
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        raise TraitError(f"upstreams: the context_window of {name!r} must be a number of tokens")
    return {"context_window": window}


class ModelSettings(Configurable):
    """Models and their upstreams."""

    model = Unicode(
        "",
        help="""The model used when a request or notebook names none: `openai/NAME`, `responses/NAME`,
        `chat/NAME`, `anthropic/NAME`, `ollama/NAME`, `scripted/FILE`, `replay/FILE`. Empty: `scripted/demo`
        if neither an upstream's address nor a key is set; with either set there is no default, because a
        guess could cost money.""",
    ).tag(config=True, variable="AGENT_KERNEL_MODEL")
    upstream_url = Unicode(
        "",
        help="""Address of the endpoint that serves the model, up to and including `/v1`. Empty: the
        provider's own.""",
    ).tag(config=True, variable="AGENT_KERNEL_UPSTREAM_URL", fallback="OPENAI_BASE_URL")
    upstream_key = Unicode("", help="""Key for that endpoint. Empty: none is sent.""").tag(
        config=True, secret=True, variable="AGENT_KERNEL_UPSTREAM_KEY", fallback="OPENAI_API_KEY"
    )
    anthropic_url = Unicode(
        "",
        help="""Address of the endpoint for `anthropic/NAME`, up to or including `/v1`. Empty: Anthropic's
        own.""",
    ).tag(config=True, variable="AGENT_KERNEL_ANTHROPIC_URL", fallback="ANTHROPIC_BASE_URL")
    anthropic_key = Unicode("", help="""Key for that endpoint. Empty: none is sent.""").tag(
        config=True, secret=True, variable="AGENT_KERNEL_ANTHROPIC_KEY", fallback="ANTHROPIC_API_KEY"
    )
    upstreams = Upstreams(
        help="""More endpoints, by the prefix of their models' names: `{"PREFIX": {"url": ..., "key": ...,
        "dialect": "openai", "responses", "chat" or "anthropic", "shell": "native" or "function",
        "context_window": ...}}`, in the environment as JSON. Requests for the model `PREFIX/NAME` go
        there.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_UPSTREAMS")
    upstream_retries = Int(
        2,
        min=0,
        max=20,
        help="""How often a request is repeated if the upstream does not answer, answers 429 or 5xx, or breaks
        off before its first word.""",
    ).tag(config=True)
    upstream_silence = Float(
        600.0,
        min=0.001,
        help="""Seconds of silence after which an upstream's answer counts as broken off.""",
    ).tag(config=True)

    context_window = Int(
        0,
        min=0,
        help="""Size of the models' context window in tokens. 0: as the upstream reports it, or as it is known
        for OpenAI's models. Set it for servers that cut long input without an error, as Ollama does.""",
    ).tag(config=True, variable="AGENT_KERNEL_CONTEXT_WINDOW")

    def chosen(self) -> str | None:
        """Return the default model, or None if each request must name one."""
        if self.model:
            return self.model
        own = (self.upstream_url, self.upstream_key, self.anthropic_url, self.anthropic_key, self.upstreams)
        return None if any(own) else SCRIPTED_DEFAULT
