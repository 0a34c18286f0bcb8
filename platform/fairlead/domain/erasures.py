"""Erasures: the keys that content of a person, or of the tenant, was sealed under are destroyed. One stream for each.

What is recorded here is done again wherever it has been undone: by an older database, or before it was carried out.
"""

from typing import Any, Literal

from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import Event, StreamRef
from fairlead.domain.errors import NotFound, Rejected
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact_text

MAX_REASON = 500
MOST_KEYS = 100_000  # of one erasure, so that its event fits into a commit


class Erased(Event, frozen=True, kw_only=True, tag="erasure.performed.v1"):
    """Nothing that was sealed under these keys can be read again, by anybody. `data_subject` is whom it was about, as
    events name them, and empty for the tenant, whose every key it was. `streams` were about them by then. `ledger_head`
    is the tenant's ledger as it was signed directly before.
    """

    erasure_id: str
    scope: Literal["data_subject", "tenant"]
    data_subject: str
    key_ids: tuple[str, ...]
    streams: int
    ledger_head: dict[str, Any]
    reason: str
    erased_by: PrincipalId
    erased_at: Instant


class Erase(Struct, frozen=True, kw_only=True):
    """The caller has seen to it that nothing forbids it."""

    erased: Erased


class NoSuchErasure(NotFound):
    """There is none of this id."""

    code = "erasure_not_found"


class ErasureHeld(Rejected):
    """A legal hold keeps what would be erased."""

    code = "erasure_held"


class RunsUnderWay(Rejected):
    """Runs about the data subject have not ended: without their content they could only do harm. Cancel them first."""

    code = "erasure_of_runs_under_way"


class TooManyKeys(Rejected):
    """More keys than one erasure can name: erase data subjects first."""

    code = "too_many_keys"


class NotErased(Struct, frozen=True):
    pass


ErasureState = NotErased | Erased


def stream_of(tenant_id: TenantId, erasure_id: str) -> StreamRef:
    return StreamRef(tenant_id, "erasure", erasure_id)


def initial() -> ErasureState:
    return NotErased()


def decide(command: Erase, state: ErasureState) -> list[Erased]:
    """Asking twice is not an error."""
    if isinstance(state, Erased):
        return []
    return [replace(command.erased, reason=redact_text(command.erased.reason))]


def evolve(_: ErasureState, event: Erased) -> ErasureState:
    return event
