"""One set of trusted certificates for all HTTP clients of a process.

Every client would load this machine's certificates anew, also for `http`, and that takes 50 ms of processor
time. The tests make some thousand clients.
"""

from __future__ import annotations

import os
import ssl
from functools import cache

import httpcore2


@cache
def share() -> None:
    """Let `httpcore2` load the certificates once for each environment, and now for the present one."""
    load = httpcore2.default_ssl_context

    @cache
    def loaded(trust_env: bool, *_: str | None) -> ssl.SSLContext:
        return load(_trust_env=trust_env)

    def shared(*, _trust_env: bool = True) -> ssl.SSLContext:
        return loaded(_trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))

    httpcore2.default_ssl_context = shared
    shared()
