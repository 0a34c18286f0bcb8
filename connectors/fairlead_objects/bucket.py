"""Requests to the bucket of a connection."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fairlead_sdk import Call, HttpAnswer, NeedsReconnect, Refused
from msgspec import Meta

from fairlead_objects.signing import Key, encoded_path, encoded_query, signed

USUAL_REGION = "us-east-1"
CALL_HEADER = "x-amz-meta-call"  # which call an object came from

ObjectKey = Annotated[str, Meta(min_length=1, max_length=900, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Bucket:
    """Raises NeedsReconnect for a connection without a key, Refused for one that says nonsense."""

    def __init__(self, call: Call) -> None:
        connection = call.connection
        if connection is None or connection.credential is None:
            raise NeedsReconnect("the bucket has no access key yet", "no_key")
        config, credential = connection.config, connection.credential
        where = urlsplit(config.get("url", ""))
        if not where.netloc or where.path.strip("/") or not config.get("bucket"):
            raise Refused("the connection's url is no address of a store, or names no bucket", "bad_config")
        self._call = call
        self._base, self._host = f"{where.scheme}://{where.netloc}", where.netloc
        self._bucket = config["bucket"]
        self._key = Key(credential.username, credential.secret, config.get("region") or USUAL_REGION)
        self.prefix = config.get("prefix", "")

    async def ask(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        max_bytes: int | None = None,
    ) -> HttpAnswer:
        """Of an object, or of the bucket itself without a key."""
        if any(part in (".", "..") for part in key.split("/")):
            raise Refused("a key has no part that is . or ..", "bad_key")  # some would walk up from the prefix
        path = f"/{self._bucket}/{self.prefix}{key}" if key else f"/{self._bucket}"
        asked = query or {}
        sent = signed(self._key, method, self._host, path, asked, headers or {}, body, datetime.now(UTC))
        address = f"{self._base}{encoded_path(path)}" + (f"?{encoded_query(asked)}" if asked else "")
        return await self._call.http.send(
            method, address, headers=sent, body=body, authorized=False, max_bytes=max_bytes
        )
