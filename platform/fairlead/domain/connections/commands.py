"""What a connection can be asked. `lives` is the account's own when the work behind the command began."""

from msgspec import Struct

from fairlead.domain.connections.events import ConnectionCreated
from fairlead.domain.instant import Instant


class CreateConnection(Struct, frozen=True, kw_only=True):
    """`created` has passed `drafts.py`."""

    created: ConnectionCreated


class RecordGrant(Struct, frozen=True, kw_only=True):
    """A person gave access, and what they gave is in the vault under `secret_version`."""

    lives: int
    secret_version: int
    requested: tuple[str, ...]
    granted: tuple[str, ...]
    expires_at: Instant | None = None


class RecordRefresh(Struct, frozen=True, kw_only=True):
    lives: int
    secret_version: int
    granted: tuple[str, ...]
    expires_at: Instant | None = None


class NeedReconnect(Struct, frozen=True, kw_only=True):
    """The secret of this version was refused, or is gone."""

    lives: int
    secret_version: int
    reason: str


class RevokeConnection(Struct, frozen=True, kw_only=True):
    reason: str


class RecordErasure(Struct, frozen=True, kw_only=True):
    """`lives` is what it became by the revocation."""

    lives: int
    told_provider: bool


class DeleteConnection(Struct, frozen=True, kw_only=True):
    reason: str


ConnectionCommand = (
    CreateConnection | RecordGrant | RecordRefresh | NeedReconnect | RevokeConnection | RecordErasure | DeleteConnection
)
