"""What is kept of deliveries: how far a webhook has been told, what waits, how an attempt ended."""

from msgspec import Struct

from fairlead.domain.errors import FairleadError
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks.lanes import Waiting


class HoldLost(FairleadError):
    """Another process sends for this webhook now."""

    code = "hold_lost"


class Standing(Struct, frozen=True, kw_only=True):
    """Everything up to `fed_to` is listed. `acted_on` is the last wish for a replay that was granted."""

    fed_to: int
    last_number: int
    acted_on: int
    failing_since: Instant | None


class Fed(Struct, frozen=True, kw_only=True):
    """A step of listing. `back_to`: what lies past it and still waits is to be listed anew."""

    fed_to: int
    last_number: int
    acted_on: int
    waiting: tuple[Waiting, ...] = ()
    back_to: int | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """`error` is empty when the receiver has taken it; `status` is missing when it gave no answer."""

    at: Instant
    took_ms: int
    error: str = ""
    status: int | None = None
    retry_after_s: float | None = None


class Tally(Struct, frozen=True, kw_only=True):
    """Of one process: deliveries that wait, webhooks that fail, and how its attempts ended so far. `disabled` are those
    that we gave up and nobody has enabled since; every process knows them all."""

    waiting: int
    failing: int
    disabled: int
    delivered: int
    failed: int
