"""Signature version 4: proves that a request comes from whoever knows the secret, without sending it.

Source: "Authenticating requests", Amazon Simple Storage Service API reference.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from msgspec import Struct

ALGORITHM = "AWS4-HMAC-SHA256"


class Key(Struct, frozen=True):
    access_key_id: str
    secret: str
    region: str

    def __repr__(self) -> str:
        return f"Key({self.access_key_id})"


def encoded_path(path: str) -> str:
    return quote(path, safe="/-_.~")


def encoded_query(query: Mapping[str, str]) -> str:
    """In the order that is signed."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))


def signed(
    key: Key,
    method: str,
    host: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> dict[str, str]:
    """The headers to send; `path` is not yet encoded, `now` is aware UTC, header names are lower case."""
    body_hash = hashlib.sha256(body).hexdigest()
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "x-amz-date": stamp, "x-amz-content-sha256": body_hash}
    named = {**sent, "host": host}
    names = ";".join(sorted(named))
    lines = "".join(f"{name}:{' '.join(named[name].split())}\n" for name in sorted(named))
    request = "\n".join((method, encoded_path(path), encoded_query(query), lines, names, body_hash))
    scope = f"{stamp[:8]}/{key.region}/s3/aws4_request"
    text = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = hmac.new(_signing_key(key, stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
    proof = f"{ALGORITHM} Credential={key.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**sent, "authorization": proof}


def _signing_key(key: Key, day: str) -> bytes:
    found = f"AWS4{key.secret}".encode()
    for part in (day, key.region, "s3", "aws4_request"):
        found = hmac.digest(found, part.encode(), hashlib.sha256)
    return found
