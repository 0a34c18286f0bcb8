"""Names on the engine. Every name that comes from outside is one token: it can hold no separator and no wildcard."""

import re
from collections.abc import Sequence

from fairlead_tenants.ids import TenantId

from fairlead.domain.envelope import Kind, StreamRef
from fairlead.domain.errors import NotFound

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")


def token(text: str) -> str:
    """The text itself. Raises NotFound when it cannot be an id: nothing has such a name."""
    if _TOKEN.fullmatch(text) is None:
        raise NotFound("no such id")
    return text


def events_of(stream: StreamRef) -> str:
    return f"fl.ev.{stream.partition}.{token(stream.tenant_id)}.{stream.kind}.{token(stream.id)}"


def events_of_kinds(kinds: Sequence[Kind], partition: int | None = None) -> list[str]:
    """Filters for commits of these kinds, of all kinds when none is named."""
    place = "*" if partition is None else str(partition)
    return [f"fl.ev.{place}.*.{kind}.*" for kind in kinds] or [f"fl.ev.{place}.>"]


def kind_in(subject: str) -> str:
    return subject.split(".", 5)[4]


def blob_part(tenant_id: TenantId, digest: str, part: int) -> str:
    return f"fl.bl.{token(tenant_id)}.{token(digest)}.{part}"


def job(lane: str, tenant_id: str) -> str:
    return f"fl.job.{token(lane)}.{token(tenant_id)}"


def jobs_of_lane(lane: str) -> str:
    return f"fl.job.{token(lane)}.*"


def timer(tenant_id: str, timer_id: str) -> str:
    return f"fl.tm.set.{token(tenant_id)}.{token(timer_id)}"


def timer_due(tenant_id: str, timer_id: str) -> str:
    return f"fl.tm.due.{token(tenant_id)}.{token(timer_id)}"


def timer_in_any_state(tenant_id: str, timer_id: str) -> str:
    return f"fl.tm.*.{token(tenant_id)}.{token(timer_id)}"


TIMERS_DUE = "fl.tm.due.>"
