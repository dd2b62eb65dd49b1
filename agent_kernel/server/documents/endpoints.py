"""The rows of the table of endpoints for vector stores and uploads."""

from __future__ import annotations

from agent_kernel.server.documents import files as f
from agent_kernel.server.documents import stores as s
from agent_kernel.server.documents import uploads as u
from agent_kernel.server.endpoint import Endpoint

_PAGE = ("after", "before", "limit", "order")
_STORES = "/v1/vector_stores"
_STORE = _STORES + "/{vector_store_id}"
_FILE = _STORE + "/files/{file_id}"
_BATCH = _STORE + "/file_batches/{batch_id}"
_UPLOAD = "/v1/uploads/{upload_id}"

DOCUMENTS: tuple[Endpoint, ...] = (
    Endpoint("POST", _STORES, s.create_vector_store, body="VectorStoreCreateParams"),
    Endpoint("GET", _STORES, s.list_vector_stores, "List", query=_PAGE),
    Endpoint("GET", _STORE, s.retrieve_vector_store),
    Endpoint("POST", _STORE, s.update_vector_store, body="VectorStoreUpdateParams"),
    Endpoint("DELETE", _STORE, s.delete_vector_store, "Deleted"),
    Endpoint("POST", _STORE + "/search", s.search_vector_store, body="VectorStoreSearchParams"),
    Endpoint("POST", _STORE + "/files", f.create_vector_store_file, body="VectorStoreFileCreateParams"),
    Endpoint("GET", _STORE + "/files", f.list_vector_store_files, "List", query=(*_PAGE, "filter")),
    Endpoint("GET", _FILE, f.retrieve_vector_store_file),
    Endpoint("POST", _FILE, f.update_vector_store_file, body="VectorStoreFileUpdateParams"),
    Endpoint("DELETE", _FILE, f.delete_vector_store_file, "Deleted"),
    Endpoint("GET", _FILE + "/content", f.vector_store_file_content),
    Endpoint("POST", _STORE + "/file_batches", f.create_file_batch, body="VectorStoreFileBatchCreateParams"),
    Endpoint("GET", _BATCH, f.retrieve_file_batch),
    Endpoint("POST", _BATCH + "/cancel", f.cancel_file_batch),
    Endpoint("GET", _BATCH + "/files", f.list_file_batch_files, "List", query=(*_PAGE, "filter")),
    Endpoint("POST", "/v1/uploads", u.create_upload, body="UploadCreateParams"),
    Endpoint("POST", _UPLOAD + "/parts", u.add_upload_part, body="UploadPart"),
    Endpoint("POST", _UPLOAD + "/complete", u.complete_upload, body="UploadCompleteParams"),
    Endpoint("POST", _UPLOAD + "/cancel", u.cancel_upload),
)
