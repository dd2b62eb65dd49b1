"""One bucket of an S3-compatible service: its URL, its requests, and what is said when they fail.

minio's client blocks, so each request runs on a worker thread. Credentials come from where AWS programs look:
the environment, `~/.aws`, the role of the pod or the machine. They are never part of a setting of ours.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, urlsplit

from agent_kernel.errors import ConfigurationError, NotFound

if TYPE_CHECKING:  # urllib3 binds a socket when it is imported, so it is only when a bucket is used
    import urllib3
    from minio import Minio
    from minio.credentials.providers import ChainedProvider

T = TypeVar("T")

THREADS = 8
"""The most requests at the same time."""

CONNECT_SECONDS, READ_SECONDS, TRIES = 10.0, 60.0, 3
BUSY = [500, 502, 503, 504]
"""Statuses after which a request is sent again."""

ROLE_SECONDS = 2.0
"""Seconds in which the machine must name its role."""

AMAZON = "s3.amazonaws.com"
NAME = re.compile(r"[\w.-]{3,255}", re.ASCII)
FORM = "It has the form s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION; only BUCKET is required."
RIGHTS = "s3:GetObject, PutObject, DeleteObject and AbortMultipartUpload on its objects, and s3:ListBucket"
MISSING = frozenset({"NoSuchKey", "NoSuchObject"})
DENIED = frozenset({"AccessDenied", "AllAccessDisabled"})
UNKNOWN_KEY = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"})


@dataclass(frozen=True)
class BucketAddress:
    """Where a bucket is. `prefix` is empty or ends with a slash."""

    name: str
    prefix: str
    host: str
    secure: bool
    region: str

    @classmethod
    def parse(cls, url: str) -> BucketAddress:
        """Read a URL. Raises `ConfigurationError`, which shows nothing of it: somebody may put keys there."""
        try:
            parts = urlsplit(url)
            wanted = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            place = urlsplit(wanted.pop("endpoint", f"https://{AMAZON}"))
        except ValueError:
            raise ConfigurationError(
                "AGENT_KERNEL_BLOBS is not a valid URL of a bucket.", hint=FORM
            ) from None
        if "@" in parts.netloc + place.netloc + place.path:
            raise ConfigurationError(
                "AGENT_KERNEL_BLOBS contains credentials.",
                hint="Give them as AWS programs take them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
                " ~/.aws/credentials, or the role of the machine.",
            )
        known = parts.scheme == "s3" and place.scheme in ("http", "https") and not wanted.keys() - {"region"}
        whole = NAME.fullmatch(parts.netloc) and place.netloc and not place.path.strip("/")
        if not known or not whole or parts.fragment or place.query:
            raise ConfigurationError("AGENT_KERNEL_BLOBS is not a valid URL of a bucket.", hint=FORM)
        prefix = parts.path.strip("/")
        return cls(
            parts.netloc,
            f"{prefix}/" if prefix else "",
            place.netloc,
            place.scheme == "https",
            wanted.get("region") or "us-east-1",
        )


class Bucket:
    """Requests to a bucket. The client is made at the first one; `tries` is for each request."""

    def __init__(self, address: BucketAddress, tries: int = TRIES) -> None:
        self.address = address
        self._tries = tries
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bucket")
        self._credentials: ChainedProvider | None = None
        self._made: Minio | None = None
        self._making = threading.Lock()

    async def run(self, what: str, call: Callable[[Minio, str], T]) -> T:
        """Call something with the client and the bucket's name on a worker thread; `what` is in messages.

        When cancelled it waits until the call has ended, so that its effect can be undone.
        Raises `NotFound` if the object does not exist, and `ConfigurationError`.
        """
        working = asyncio.get_running_loop().run_in_executor(self._threads, self._telling, what, call)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait((working,))
            raise

    def key(self, id_: str) -> str:
        """Return the key of a blob's object."""
        if not id_ or id_.startswith(".") or "/" in id_ or "\0" in id_:
            raise ValueError(f"{id_!r} is not an id of a blob.")
        return self.address.prefix + id_

    def _client(self) -> Minio:
        """Return the client, with credentials. Raises `ConfigurationError`."""
        from minio import Minio
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        address = self.address
        with self._making:
            if self._made is None or self._credentials is None:
                self._credentials = _credentials()
                pool = _pool(CONNECT_SECONDS, READ_SECONDS, self._tries)
                self._made = Minio(
                    address.host,
                    secure=address.secure,
                    region=address.region,
                    credentials=self._credentials,
                    http_client=pool,
                )
        try:
            self._credentials.retrieve()  # it keeps them until they expire
        except (ValueError, MinioException, HTTPError, OSError):
            raise ConfigurationError(
                f"There are no credentials for the bucket {address.name}.",
                hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another source of AWS credentials.",
            ) from None
        return self._made

    def _telling(self, what: str, call: Callable[[Minio, str], T]) -> T:
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        client, name = self._client(), self.address.name
        try:
            return call(client, name)
        except S3Error as error:
            raise self._refused(what, str(error.code)) from None
        except (MinioException, HTTPError, OSError) as error:
            raise ConfigurationError(
                f"The bucket {name} cannot be reached: {type(error).__name__}.",
                hint="Check the endpoint in AGENT_KERNEL_BLOBS, and that its service runs.",
            ) from None

    def _refused(self, what: str, code: str) -> ConfigurationError | NotFound:
        name = self.address.name
        if code in MISSING:
            return NotFound("There is no such blob.")
        if code == "NoSuchBucket":
            words, hint = f"The bucket {name} does not exist.", "Create it, or correct AGENT_KERNEL_BLOBS."
        elif code in DENIED:
            words, hint = f"The bucket {name} denies {what}.", f"Allow the server's identity {RIGHTS}."
        elif code in UNKNOWN_KEY:
            words = f"The credentials for the bucket {name} are not valid ({code})."
            hint = "Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or where else they come from."
        else:
            words, hint = f"The bucket {name} refuses {what}: {code}.", "Its service says more in its log."
        return ConfigurationError(words, hint=hint)


def _credentials() -> ChainedProvider:
    from minio.credentials.providers import AWSConfigProvider, ChainedProvider, EnvAWSProvider, IamAwsProvider

    role = IamAwsProvider(http_client=_pool(ROLE_SECONDS, ROLE_SECONDS, 1))
    return ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), role])


def _pool(connect: float, read: float, tries: int) -> urllib3.PoolManager:
    import certifi
    import urllib3

    trusted = ssl.create_default_context()
    trusted.load_verify_locations(certifi.where())
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=connect, read=read),
        maxsize=THREADS,
        ssl_context=trusted,
        retries=urllib3.Retry(total=tries - 1, backoff_factor=0.2, status_forcelist=BUSY),
    )
