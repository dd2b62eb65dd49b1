"""The stores that a setting can name.

The setting's scheme (the part before `:`) names a factory. Other packages add stores by an entry point in the
group `agent_kernel.stores`: its name is the scheme, its value a `Factory`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import cast

from agent_kernel.errors import ConfigurationError
from agent_kernel.store.base import Store
from agent_kernel.store.blobs import Blobs, MovingBlobs

Factory = Callable[[str, Path], Store]
"""Makes a store of a URL and the data folder of this machine. Nothing is opened before its first use.

It raises `ConfigurationError` for a URL that it cannot use. A URL may contain a password: no message shows
it.
"""

GROUP = "agent_kernel.stores"

BUILT_IN = {
    "sqlite": "agent_kernel.store.sqlite.store:open_sqlite",
    "postgresql": "agent_kernel.store.postgres.store:open_postgres",
}
"""Scheme to factory, imported when a setting names it."""


def open_store(url: str, folder: Path, blobs: str = "") -> Store:
    """Return the store that a URL names, such as `sqlite` or `postgresql://user@host/name`.

    `blobs` is the URL of a bucket for the bytes of files; empty: they are where the store keeps them.
    Raises `ConfigurationError` if no installed package knows its scheme, or a URL cannot be used.
    """
    store = _factory(url.partition(":")[0])(url, folder)
    return replace(store, blobs=MovingBlobs(_bucket(blobs), store.blobs)) if blobs else store


def _bucket(url: str) -> Blobs:
    if url.partition(":")[0] != "s3":
        raise ConfigurationError(
            "AGENT_KERNEL_BLOBS names no known kind of storage.", hint="Known kinds: s3://BUCKET."
        )
    if find_spec("minio") is None:
        raise ConfigurationError(
            "Files in a bucket need the package minio.", hint='pip install "jupyter-agent-kernel[s3]"'
        )
    from agent_kernel.store.s3.blobs import S3Blobs
    from agent_kernel.store.s3.bucket import Bucket, BucketAddress

    return S3Blobs(Bucket(BucketAddress.parse(url)))


def _factory(scheme: str) -> Factory:
    if scheme in BUILT_IN:
        return cast(Factory, resolve_name(BUILT_IN[scheme]))
    found = {each.name: each for each in entry_points(group=GROUP)}
    if scheme not in found:
        known = ", ".join(sorted({*BUILT_IN, *found}))
        raise ConfigurationError(
            f"AGENT_KERNEL_STORE names no known kind of store. Known kinds: {known}.",
            hint="Correct it, or install the package that provides the store.",
        )
    return cast(Factory, found[scheme].load())
