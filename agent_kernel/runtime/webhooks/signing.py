"""Signatures of the Standard Webhooks scheme, which OpenAI's webhooks have too.

Source: the specification of Standard Webhooks, and `client.webhooks.unwrap` of the `openai` package.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"

LEAST_BYTES = 24
"""Of a secret, as the specification asks for."""


def key_of(secret: str) -> bytes:
    """Return the key in a secret, `whsec_` and base64. Raises `ValueError`; its message has no secret."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"it must begin with {PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {PREFIX} must be base64") from None
    if len(key) < LEAST_BYTES:
        raise ValueError(f"it must have at least {LEAST_BYTES} bytes")
    return key


def signed(key: bytes, event_id: str, timestamp: int, body: str) -> dict[str, str]:
    """Return the headers of a delivery at `timestamp`, in seconds since 1970."""
    text = f"{event_id}.{timestamp}.{body}".encode()
    signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
        "content-type": "application/json",
    }
