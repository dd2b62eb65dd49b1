"""The embedding model that the settings name."""

from __future__ import annotations

from importlib.util import find_spec

from agent_kernel.errors import ConfigurationError
from agent_kernel.models.embedding.embedders import LOCAL, Embedder, NGramEmbedder, UpstreamEmbedder
from agent_kernel.models.upstream import OPENAI_URL, Upstream

_SETTINGS = ("AGENT_KERNEL_EMBEDDINGS_URL", "AGENT_KERNEL_EMBEDDINGS_KEY")


def embedder(name: str, own: tuple[str, str], upstream: tuple[str, str]) -> Embedder | None:
    """Return the embedding model of this name; None for an empty name: then only words are searched.

    `own` and `upstream` are the address and the key of its own endpoint and of the models'. Raises
    `ConfigurationError` if numpy is not installed, or the key cannot be sent.
    """
    if not name:
        return None
    if find_spec("numpy") is None:
        raise ConfigurationError(
            "AGENT_KERNEL_EMBEDDINGS needs numpy, which is not installed.",
            hint="Run: pip install 'jupyter-agent-kernel[files]'",
        )
    if name == LOCAL:
        return NGramEmbedder()
    url, key = own if own[0] else (upstream[0] or OPENAI_URL, own[1] or upstream[1])
    return UpstreamEmbedder(Upstream(url, key or None, settings=_SETTINGS), name)
