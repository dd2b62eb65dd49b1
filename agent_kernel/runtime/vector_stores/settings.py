"""The settings of vector stores."""

from __future__ import annotations

from traitlets import Int, Unicode
from traitlets.config import Configurable


class DocumentSettings(Configurable):
    """How files are indexed for `file_search`; see docs/guide/documents.md."""

    embeddings = Unicode(
        "",
        help="""Embedding model for search by meaning, as its server names it. `local/ngrams` needs no server
        and finds other spellings only. Empty: files are searched by words alone.""",
    ).tag(config=True, variable="AGENT_KERNEL_EMBEDDINGS")
    embeddings_url = Unicode(
        "",
        help="""Address of the endpoint that serves the embedding model, up to and including `/v1`.
        Empty: that of `AGENT_KERNEL_UPSTREAM_URL`.""",
    ).tag(config=True, variable="AGENT_KERNEL_EMBEDDINGS_URL")
    embeddings_key = Unicode(
        "",
        help="""Key for that endpoint. Empty: none is sent to `AGENT_KERNEL_EMBEDDINGS_URL`; without that
        address, the key of `AGENT_KERNEL_UPSTREAM_KEY`.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_EMBEDDINGS_KEY")
    max_document = Int(
        64 << 20,
        min=1,
        help="""Bytes of text of one file that are indexed; a longer file is refused.""",
    ).tag(config=True)
