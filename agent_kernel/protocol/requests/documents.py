"""The types of requests for vector stores and uploads; `params` says how they are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from agent_kernel.protocol.requests.shapes import attributes, metadata, shape

MOST_FILES = 2000
"""Files of one request."""

LONGEST_NAME = 256


def _store() -> dict[str, Any]:
    from pydantic import Field

    days = Annotated[int, Field(ge=1, le=365)]
    expiry = shape("StoreExpiry", {"anchor": Literal["last_active_at"], "days": days})
    return {"name": _text(LONGEST_NAME), "metadata": metadata(), "expires_after": expiry}


def _create() -> Any:
    fields = {"description": _text(512), "file_ids": _many(str), "chunking_strategy": dict[str, Any]}
    return shape("VectorStoreCreateParams", {**_store(), **fields})


def _update() -> Any:
    return shape("VectorStoreUpdateParams", _store())


def _search() -> Any:
    fields = {
        "query": str | list[str],
        "filters": dict[str, Any],
        "max_num_results": int,
        "ranking_options": dict[str, Any],
        "rewrite_query": bool,
    }
    return shape("VectorStoreSearchParams", fields)


def _file_fields() -> dict[str, Any]:
    return {"file_id": str, "attributes": attributes(), "chunking_strategy": dict[str, Any]}


def _file() -> Any:
    return shape("VectorStoreFileCreateParams", _file_fields())


def _file_update() -> Any:
    return shape("VectorStoreFileUpdateParams", {"attributes": attributes() | None})


def _batch() -> Any:
    fields = {**_file_fields(), "file_ids": _many(str), "files": _many(_file())}
    del fields["file_id"]
    return shape("VectorStoreFileBatchCreateParams", fields)


def _upload() -> Any:
    from pydantic import Field

    seconds = Annotated[int, Field(ge=3600, le=2_592_000)]
    fields = {
        "bytes": Annotated[int, Field(ge=1, le=8 << 30)],
        "filename": Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)],
        "mime_type": str,
        "purpose": Annotated[str, Field(min_length=1, max_length=64)],
        "expires_after": shape("UploadExpiry", {"anchor": Literal["created_at"], "seconds": seconds}),
    }
    return shape("UploadCreateParams", fields)


def _complete() -> Any:
    return shape("UploadCompleteParams", {"part_ids": _many(str), "md5": str})


def _many(kind: Any) -> Any:
    from pydantic import Field

    return Annotated[list[kind], Field(max_length=MOST_FILES)]


def _text(most: int) -> Any:
    from pydantic import Field

    return Annotated[str, Field(max_length=most)]


REQUESTS: Mapping[str, Callable[[], Any]] = {
    "VectorStoreCreateParams": _create,
    "VectorStoreUpdateParams": _update,
    "VectorStoreSearchParams": _search,
    "VectorStoreFileCreateParams": _file,
    "VectorStoreFileUpdateParams": _file_update,
    "VectorStoreFileBatchCreateParams": _batch,
    "UploadCreateParams": _upload,
    "UploadCompleteParams": _complete,
}

REQUIRED: Mapping[str, frozenset[str]] = {
    "StoreExpiry": frozenset({"anchor", "days"}),
    "VectorStoreSearchParams": frozenset({"query"}),
    "VectorStoreFileCreateParams": frozenset({"file_id"}),
    "VectorStoreFileUpdateParams": frozenset({"attributes"}),
    "UploadCreateParams": frozenset({"bytes", "filename", "purpose"}),
    "UploadExpiry": frozenset({"anchor", "seconds"}),
    "UploadCompleteParams": frozenset({"part_ids"}),
}
"""Required fields, by the name of the type."""
