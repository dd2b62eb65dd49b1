"""Blobs as objects of a bucket. One that is larger than a part is uploaded in parts, so memory is bounded."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from agent_kernel.errors import ConfigurationError, NotFound, TooLarge
from agent_kernel.store.s3.bucket import Bucket

if TYPE_CHECKING:  # see bucket.py
    from minio import Minio
    from minio.datatypes import Part

PART = 5 << 20
"""Bytes of a part. S3 takes none below that but the last, and 10,000 of them: 48 GiB."""

CHUNK = 256 << 10
"""Bytes read at a time."""

HEADERS = {"Content-Type": "application/octet-stream"}


class S3Blobs:
    """See `Blobs`. An object exists when all of it has been uploaded."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def put(self, id: str, content: AsyncIterable[bytes], limit: int | None = None) -> int:  # noqa: A002
        """See `Blobs`. In memory are at most a few parts, and a chunk of the content."""
        upload = _Upload(self._bucket, self._bucket.key(id))
        size, waiting = 0, bytearray()
        try:
            async for chunk in content:
                size += len(chunk)
                if limit is not None and size > limit:
                    raise TooLarge(f"The content is larger than {limit} bytes.")
                waiting += chunk
                while len(waiting) > PART:
                    await upload.add(bytes(waiting[:PART]))
                    del waiting[:PART]
            await upload.end(bytes(waiting))
        except BaseException:
            await asyncio.shield(upload.undo())
            raise
        return size

    async def get(self, id: str) -> AsyncGenerator[bytes, None]:  # noqa: A002
        """See `Blobs`."""
        key = self._bucket.key(id)
        body = await self._bucket.run("a download", lambda client, name: client.get_object(name, key))
        try:
            while chunk := await self._bucket.run("a download", lambda _client, _name: body.read(CHUNK)):
                yield chunk
        finally:
            body.close()
            body.release_conn()

    async def delete(self, id: str) -> None:  # noqa: A002
        """See `Blobs`."""
        key = self._bucket.key(id)
        await self._bucket.run("a deletion", lambda client, name: client.remove_object(name, key))

    async def sizes(self) -> Mapping[str, int]:
        """See `Blobs`."""
        prefix = self._bucket.address.prefix

        def sizes(client: Minio, name: str) -> dict[str, int]:
            found = client.list_objects(name, prefix=prefix)
            return {str(each.object_name)[len(prefix) :]: each.size or 0 for each in found if not each.is_dir}

        return await self._bucket.run("a listing", sizes)


class _Upload:
    """An object that is being uploaded: at once if it has one part, otherwise part by part.

    The steps of an upload in parts have no public names in minio, whose own `put_object` reads from a file.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._id: str | None = None
        self._parts: list[Part] = []

    async def add(self, part: bytes) -> None:
        """Upload a part that is not the last."""
        from minio.datatypes import Part

        if self._id is None:
            self._id = await self._bucket.run("an upload", self._begin)
        number = len(self._parts) + 1

        def send(client: Minio, name: str) -> str:
            return client._upload_part(name, self._key, part, None, str(self._id), number)

        self._parts.append(Part(number, await self._bucket.run("an upload", send)))

    def _begin(self, client: Minio, name: str) -> str:
        return client._create_multipart_upload(name, self._key, dict(HEADERS))

    async def end(self, part: bytes) -> None:
        """Upload the last part; now the object exists."""
        if self._id is not None:
            await self.add(part)

        def end(client: Minio, name: str) -> None:
            if self._id is None:
                client.put_object(name, self._key, io.BytesIO(part), len(part))
            else:
                client._complete_multipart_upload(name, self._key, self._id, self._parts)

        await self._bucket.run("an upload", end)

    async def undo(self) -> None:
        """Leave nothing. Parts in an unreachable bucket are no object; a lifecycle rule removes them."""

        def undo(client: Minio, name: str) -> None:
            if self._id is not None:
                client._abort_multipart_upload(name, self._key, self._id)

        with suppress(ConfigurationError, NotFound):  # the error that led here is told
            await self._bucket.run("the end of an upload", undo)
        with suppress(ConfigurationError, NotFound):
            await self._bucket.run("a deletion", lambda client, name: client.remove_object(name, self._key))
