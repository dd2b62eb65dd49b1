"""Archives made by hand, good ones and others."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TURN: Mapping[str, Any] = {
    "id": "resp_1", "created_at": 1.0, "status": "completed", "model": "m", "previous_id": None,
    "container_id": "cntr_1", "request": {}, "input": [{"type": "message", "role": "user", "content": "Hi"}],
    "response": {"id": "resp_1", "output": []},
}  # fmt: skip
SESSION: Mapping[str, Any] = {"id": "sess_1", "response_id": "resp_1", "container_id": "cntr_1", "state": {}}


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info, b""


def file(name: str, content: bytes = b"x", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def tree(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return the compressed files of an archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), 1)


def content(data: bytes, **changes: Any) -> tuple[bytes, bytes]:
    """Return a content as it is in an archive, and its line in the index."""
    packed = gzip.compress(data, 1)
    line = {"sha256": digest(data), "size": len(data), "packed": len(packed), **changes}
    return packed, json.dumps(line).encode() + b"\n"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def elsewhere(name: str, data: bytes, **fields: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a file whose content is among the contents."""
    return file(name, b"", pax_headers={"AGENT_KERNEL.content": digest(data), **fields})


GOOD = tree(
    folder("data"), elsewhere("data/a", b"x"), link("data/b", "a"), link("data/c", "data/a", tarfile.LNKTYPE)
)


WHOLE = tree(folder("data"), file("data/a"), link("data/b", "a"), link("data/c", "data/a", tarfile.LNKTYPE))


def members(
    files: bytes | None = GOOD,
    turns: Sequence[Any] = (TURN,),
    contents: Sequence[tuple[bytes, bytes]] = (content(b"x"),),
    **session: Any,
) -> dict[str, bytes]:
    """Return the members of an archive."""
    found = {
        "session.json": json.dumps({**SESSION, **session}).encode(),
        "responses.jsonl": b"".join(json.dumps(each).encode() + b"\n" for each in turns),
    }
    if files is not None:
        found |= {
            "container.json": b'{"name": "mine"}',
            "contents.gz": b"".join(packed for packed, _ in contents),
            "contents.jsonl": b"".join(line for _, line in contents),
            "tree.tar.gz": files,
        }
    return found


def manifest(found: Mapping[str, bytes], **changes: Any) -> bytes:
    listed = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in found.items()
    ]
    head = {"format": "agent-kernel session archive", "version": 1, "members": listed}
    return json.dumps({**head, **changes}).encode()


def outer(*entries: tuple[tarfile.TarInfo, bytes], checksum: bytes | None = None) -> bytes:
    """Return an outer archive with a right checksum, or with this one."""
    data = b""
    for info, content in entries:
        data += info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)
    digest = hashlib.sha256(data).hexdigest().encode() if checksum is None else checksum
    info, _ = file("checksum", digest)
    return data + info.tobuf() + digest + bytes(-len(digest) % 512) + bytes(1024)


def archive(found: Mapping[str, bytes] | None = None, **changes: Any) -> bytes:
    """Return an archive with these members."""
    found = members() if found is None else found
    head = file("manifest.json", manifest(found, **changes))
    return outer(head, *(file(name, data) for name, data in found.items()))


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
