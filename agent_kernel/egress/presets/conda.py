"""The preset `conda`: the channels of conda's configuration, or those that conda has by default."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from agent_kernel.egress.presets.index import Index, IndexQuestion, NoHosts, Site, sites
from agent_kernel.egress.presets.operator import Operator

_FILES = (".condarc", ".conda/.condarc", ".config/conda/.condarc", ".mambarc")
_SYSTEM = ("etc/conda/.condarc", "opt/conda/.condarc")
_KEYS = ("channels", "default_channels", "channel_alias", "custom_channels", "custom_multichannels")
_QUESTIONS = (IndexQuestion("noarch/repodata.json.zst"), IndexQuestion("noarch/repodata.json"))


def read(operator: Operator) -> Sequence[Index]:
    """Return the channels. Raises `NoHosts`."""
    found = sites(_channels(_configuration(operator)))
    if not found:
        raise NoHosts(
            "conda is not installed and no .condarc names a channel by its URL",
            "Write the channels in .condarc as URLs, or set channel_alias there.",
        )
    return [Index(site, _QUESTIONS, ("CONDA_CHANNELS",), ",") for site in found]


def _configuration(operator: Operator) -> Mapping[str, Any]:
    conda = operator.program("conda", "mamba")
    if conda and (shown := operator.run([conda, "config", "--show", *_KEYS, "--json"])):
        try:
            found = json.loads(shown)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
    merged: dict[str, Any] = {}
    own = operator.environment.get("CONDARC")
    for path in (*map(operator.system, _SYSTEM), *(operator.home / name for name in _FILES), own):
        try:
            content = yaml.safe_load(operator.text(operator.system(str(path)))) if path else None
        except (yaml.YAMLError, RecursionError):
            continue
        if isinstance(content, dict):
            merged |= content
    if channels := operator.environment.get("CONDA_CHANNELS"):
        merged["channels"] = channels.replace(",", " ").split()
    return merged


def _channels(configuration: Mapping[str, Any]) -> Iterator[str]:
    """Yield the URLs of the channels; a name alone is a channel at the alias, or a list of channels."""
    lists = configuration.get("custom_multichannels")
    named = {**lists} if isinstance(lists, dict) else {}
    named.setdefault("defaults", configuration.get("default_channels"))
    custom = configuration.get("custom_channels")
    homes = custom if isinstance(custom, dict) else {}
    for channel in _words(configuration.get("channels") or ["defaults"]):
        for each in _words(named.get(channel)) or [channel]:
            home = homes.get(each.partition("/")[0], configuration.get("channel_alias"))
            if "://" in each:
                yield each
            elif isinstance(home, str) and Site.of(home) is not None:
                yield f"{home.rstrip('/')}/{each}"


def _words(value: object) -> list[str]:
    found = [value] if isinstance(value, str) else value
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
