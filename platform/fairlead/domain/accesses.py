"""Who looked at what: a fact like any other, in streams that each process of the API writes for itself.

Nothing is decided on these, so there is no aggregate: each is written when an answer is about to be given.
"""

from enum import StrEnum

from fairlead_tenants.access import PrincipalKind
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId

from fairlead.domain.envelope import Event
from fairlead.domain.instant import Instant

MAX_OBJECT = 300
MAX_QUERY = 500


class Access(StrEnum):
    """`read` one thing, `search` a list, `export` a file, `approval`: what people are to sign,
    `unmasked`: sensitive values, in whatever is read, `follow` live events."""

    READ = "read"
    SEARCH = "search"
    EXPORT = "export"
    APPROVAL = "approval"
    UNMASKED = "unmasked"
    FOLLOW = "follow"


class Accessed(Event, frozen=True, kw_only=True, tag="access.recorded.v1", omit_defaults=True):
    """Recorded before the answer began. `object` is the path that was asked for, `query` what was asked of it.

    Who asked is here and not the commit's actor: one commit holds the accesses of many.
    """

    at: Instant
    access: Access
    principal_id: PrincipalId
    principal_kind: PrincipalKind
    route: str
    object: str
    query: str = ""
    key_id: ApiKeyId | None = None
    environment_id: EnvironmentId | None = None
    trace_id: str | None = None
