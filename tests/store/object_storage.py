"""A server of S3 buckets for the tests, on a free port of loopback: moto's, in threads of this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

SECRET = "s3cret/of+the+bucket"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


class ObjectStorage:
    """A running server."""

    def __init__(self, server: Any) -> None:
        host, port = server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        self.client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=SECRET,
        )
        self._server = server
        self._made = 0

    @cached_property
    def guest(self) -> dict[str, str]:
        """Credentials of a user that may do nothing."""
        iam: Any = boto3.session.Session().client(
            "iam",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=SECRET,
        )
        iam.create_user(UserName="guest")
        key = iam.create_access_key(UserName="guest")["AccessKey"]
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def stop(self) -> None:
        """End it: nothing listens any more. Idempotent."""
        self._server.stop()
        self._server._server.server_close()

    def url(self, bucket: str) -> str:
        return f"s3://{bucket}/some/folder?endpoint={self.endpoint}&region=us-east-1"

    def new(self) -> str:
        """Make an empty bucket and return its URL."""
        self._made += 1
        self.client.create_bucket(Bucket=f"bucket-{self._made}")
        return self.url(f"bucket-{self._made}")


@contextmanager
def serving() -> Iterator[ObjectStorage]:
    """Start a server, and end it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    running = ObjectStorage(server)
    try:
        yield running
    finally:
        running.stop()
