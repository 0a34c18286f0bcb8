"""Identifiers from version 7 UUIDs, behind the port `Ids`."""

from fairlead_tenants.ids import ID_BODY_LENGTH, base32
from uuid_utils.compat import uuid7


class UuidIds:
    """48 bits of milliseconds, then a counter and random bits: unique everywhere, ordered by time of creation."""

    def new(self, prefix: str) -> str:
        return f"{prefix}_{base32(uuid7().int, ID_BODY_LENGTH)}"
