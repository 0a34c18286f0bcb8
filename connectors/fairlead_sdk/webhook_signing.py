"""The signature of Standard Webhooks, symmetric form: HMAC-SHA-256 over id, time and body.

For connectors that send webhooks, and for the platform's own.

Source: the Standard Webhooks specification, https://www.standardwebhooks.com.
"""

import base64
import binascii
import hashlib
import hmac

from fairlead_sdk.errors import NeedsReconnect

PREFIX = "whsec_"
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64


def key_of(secret: str) -> bytes:
    """`whsec_` and base64, or text as it is: 24 to 64 bytes. Raises NeedsReconnect, which does not quote it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else None
    except (binascii.Error, ValueError):
        key = b""
    key = secret.encode() if key is None else key
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise NeedsReconnect(f"the secret must have {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes", "bad_secret")
    return key


def new_secret(key: bytes) -> str:
    """A key as people hand it on."""
    return PREFIX + base64.b64encode(key).decode()


def signature(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
