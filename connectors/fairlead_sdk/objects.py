"""The platform's own object store, as one call sees it: a place of its tenant, workspace and environment."""

from typing import Protocol, runtime_checkable

from msgspec import Struct

from fairlead_sdk.errors import Refused


class StoredObject(Struct, frozen=True, kw_only=True):
    """`put_under` is the idempotency key of the call that it came from; `stored_at` as in RFC 3339."""

    key: str
    media_type: str
    size_bytes: int
    sha256: str
    put_under: str
    stored_at: str


@runtime_checkable
class Objects(Protocol):
    """Only for connectors that ship with the platform. Keys are plain text: none leads to another place.

    Reading raises TryLater and changing OutcomeUnknown where the store does not answer.
    """

    async def put(self, key: str, body: bytes, media_type: str, put_under: str) -> StoredObject:
        """Replaces what is there. Raises Refused where the place is full."""

    async def look(self, key: str) -> StoredObject | None: ...

    async def read(self, key: str) -> tuple[StoredObject, bytes] | None: ...

    async def delete(self, key: str) -> None:
        """For good. One that is not there is deleted already."""

    async def beginning(self, prefix: str, after: str, limit: int) -> list[StoredObject]:
        """Those whose key begins so and comes after the other one, in the order of their keys."""


class NoObjects:
    """For calls that have no store."""

    async def put(self, key: str, body: bytes, media_type: str, put_under: str) -> StoredObject:  # noqa: ARG002
        raise _refused()

    async def look(self, key: str) -> StoredObject | None:  # noqa: ARG002
        raise _refused()

    async def read(self, key: str) -> tuple[StoredObject, bytes] | None:  # noqa: ARG002
        raise _refused()

    async def delete(self, key: str) -> None:  # noqa: ARG002
        raise _refused()

    async def beginning(self, prefix: str, after: str, limit: int) -> list[StoredObject]:  # noqa: ARG002
        raise _refused()


def _refused() -> Refused:
    return Refused("this call has no object store", "no_store")
