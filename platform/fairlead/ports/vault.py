"""What is sealed: secrets, the keys of content, and what is needed for minutes."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.sealing import ContentKey


class KeyEncryption(Protocol):
    """Wraps the keys of secrets: a list of keys of our own, or a KMS. Both methods raise Unavailable."""

    async def wrap(self, data_key: bytes) -> bytes:
        """By the key that is current now. Its id and a colon come first, so that it is known what opens it."""

    async def unwrap(self, wrapped: bytes) -> bytes:
        """Raises SecretUnreadable when the key is not there or did not wrap this."""


class Secret(Struct, frozen=True, kw_only=True):
    """`version` counts the writes of this holder's secret; `body` is what was put."""

    version: int
    body: bytes

    def __repr__(self) -> str:
        return f"Secret(version={self.version})"


class Turn(Struct, frozen=True, kw_only=True):
    """The right to replace a secret. `fence` grows with each turn, so that whoever is late is told."""

    secret: Secret
    fence: int


class Vault(Protocol):
    """Secrets of a tenant, sealed. A holder is a connection or an OAuth client; it has one secret at a time.

    Every method raises Unavailable. What was sealed for another tenant, holder or version, or was altered, raises
    SecretUnreadable and never yields anything.
    """

    async def put(self, tenant_id: TenantId, holder_id: str, body: bytes) -> int:
        """The version that it has now. Replaces an older one."""

    async def get(self, tenant_id: TenantId, holder_id: str) -> Secret | None: ...

    async def erase(self, tenant_id: TenantId, holder_id: str, version: int) -> bool:
        """Nothing can read it again, and versions go on from where they were. False: it has moved past this version."""

    async def take_turn(self, tenant_id: TenantId, holder_id: str, version: int, lease_s: float) -> Turn | None:
        """The turn to replace the secret that has this version. None while another has it, when the secret has moved
        on, and when there is none. Nobody else is given a turn within the lease."""

    async def end_turn(self, tenant_id: TenantId, holder_id: str, turn: Turn, body: bytes | None) -> int | None:
        """Put what replaces the secret, or None to leave it. Its version; None when the turn was lost to another."""


class ContentKeys(Protocol):
    """Keys that content is sealed under: one for each data subject of a tenant, and one for the tenant, "".

    Kept in memory while used, so that work goes on while the database is away. Every method raises Unavailable.
    """

    async def sealing(self, tenant_id: TenantId, subject: str) -> ContentKey:
        """Made at first use, once for all processes; made anew after it was destroyed."""

    async def opening(self, tenant_id: TenantId, key_ids: Collection[str]) -> Mapping[str, ContentKey | None]:
        """In one query. None for a key that was destroyed; a key that is not there is left out."""

    async def ids(self, tenant_id: TenantId, subject: str | None) -> list[str]:
        """Of the keys that are there: of a data subject, or with None of all of the tenant."""

    async def destroy(self, tenant_id: TenantId, key_ids: Collection[str], at: datetime) -> None:
        """Nobody reads again what was sealed under them. Those that are gone already stay so. Answers to requests that
        were kept by then go as well: they are not sealed."""

    def forget(self, tenant_id: TenantId, key_ids: Collection[str]) -> None:
        """They were destroyed: whatever the database says, this process never uses them again."""


class Slips(Protocol):
    """Secrets that are needed for minutes: what is kept between the two halves of a sign-in. Sealed like the vault's.

    `name` must be hard to guess; it is stored as a hash. Every method raises Unavailable.
    """

    async def keep(self, tenant_id: TenantId, name: str, body: bytes, life_s: float) -> None:
        """Replaces what was kept under that name."""

    async def read(self, tenant_id: TenantId, name: str) -> bytes | None: ...

    async def take(self, tenant_id: TenantId, name: str) -> bytes | None:
        """Of all who ask, one gets it."""
