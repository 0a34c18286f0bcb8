"""API keys: made, rotated with overlap, revoked at once. A key's text is in one answer and nowhere else."""

from datetime import timedelta
from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.guards import requires
from fairlead.api.idempotency import SECRET
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.principals import Because, LineOfText
from fairlead.domain.instant import Instant
from fairlead.domain.tenants.commands import IssueKey, RevokeKey, RotateKey
from fairlead.domain.tenants.errors import EnvironmentUnknown, KeyUnknown
from fairlead.domain.tenants.limits import MAX_KEY_LIFE, MAX_OVERLAP
from fairlead.domain.tenants.states import Key, Member, Tenant
from fairlead.handling.founding import NewSecret

LIST = "keys"
DAY_S = 24 * 60 * 60
LifeSeconds = Annotated[int, Meta(ge=1, le=int(MAX_KEY_LIFE.total_seconds()), description="At most 365 days.")]
OverlapSeconds = Annotated[int, Meta(ge=0, le=int(MAX_OVERLAP.total_seconds()), description="At most 7 days.")]
MANAGES = requires(Permission.KEY_MANAGE, or_own=True)


class NewApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`principal_id` missing: the caller's own. `scopes` missing: all that the principal may do, now and later."""

    name: LineOfText
    environment_id: EnvironmentId
    principal_id: PrincipalId | None = None
    scopes: Annotated[frozenset[Permission], Meta(min_length=1)] | None = None
    expires_in_s: LifeSeconds = 90 * DAY_S


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The old key goes on for `overlap_s` at most, so that programs can be given the new one in turn."""

    overlap_s: OverlapSeconds = DAY_S
    expires_in_s: LifeSeconds = 90 * DAY_S


class KeyView(Struct, frozen=True, kw_only=True):
    key_id: ApiKeyId
    principal_id: PrincipalId
    name: str
    last_four: str
    environment_id: EnvironmentId
    scopes: list[Permission] | None
    issued_at: Instant
    expires_at: Instant
    revoked_at: Instant | None
    replaced_by: ApiKeyId | None


class IssuedKey(KeyView, frozen=True, kw_only=True):
    """`secret` is the key's text, shown in this answer only: null when the request is repeated."""

    secret: str | None


class KeyController(Controller):
    path = "/v1/keys"
    tags = ("Keys",)

    @get("/", opt=requires(Permission.KEY_READ, or_own=True), sync_to_thread=False)
    def list_keys(
        self,
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        principal_id: FromQuery[str | None] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[KeyView]:
        """Keys by id, also those that have ended in the last 30 days."""
        start = after(cursor, LIST, tenant.tenant_id, str) or ""
        holders = [
            (member, key)
            for member, key in tenant.holders_by_key.values()
            if key.key_id > start and principal_id in (None, member.principal_id) and _reads(principal, member)
        ]
        found = sorted(holders, key=lambda holder: holder[1].key_id)[: limit + 1]
        views = [_view(member, key) for member, key in found]
        return page(views, limit, LIST, tenant.tenant_id, lambda each: each.key_id)

    @get("/{key_id:str}", opt=requires(Permission.KEY_READ, or_own=True), sync_to_thread=False)
    def get_key(
        self, key_id: FromPath[str], principal: NamedDependency[Principal], tenant: NamedDependency[Tenant]
    ) -> KeyView:
        """One key, without its text."""
        holder = tenant.holders_by_key.get(ApiKeyId(key_id))
        if holder is None or not _reads(principal, holder[0]):
            raise KeyUnknown("no such key")
        return _view(*holder)

    @post("/", opt=MANAGES | {SECRET: True})
    async def issue_key(
        self, data: JSONBody[NewApiKey], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[IssuedKey]:
        """Make a key. Nobody makes one that may do more than they may, and people make only their own."""
        environment = act.tenant.environments.get(data.environment_id)
        if environment is None:
            raise EnvironmentUnknown("no such environment")
        made, now = parts.keys.new(environment.kind, act.tenant_id), parts.clock.now()
        command = IssueKey(
            by=act.principal,
            now=now,
            key_id=ApiKeyId(act.new_id("key")),
            principal_id=data.principal_id or act.principal.principal_id,
            name=data.name,
            hash=made.hash,
            last_four=made.last_four,
            environment_id=data.environment_id,
            expires_at=now + timedelta(seconds=data.expires_in_s),
            scopes=data.scopes,
        )
        return _issued((await act.handle(act.tenant_stream, command)).state, command.key_id, made)

    @post("/{key_id:str}/rotate", opt=MANAGES | {SECRET: True})
    async def rotate_key(
        self,
        key_id: FromPath[str],
        data: JSONBody[Rotation],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> Response[IssuedKey]:
        """Make the key's successor: the same name, scopes and environment. The old one goes on for the overlap."""
        holder = act.tenant.holders_by_key.get(ApiKeyId(key_id))
        if holder is None:
            raise KeyUnknown("no such key")
        kind = act.tenant.environments[holder[1].environment_id].kind
        made, now = parts.keys.new(kind, act.tenant_id), parts.clock.now()
        command = RotateKey(
            by=act.principal,
            now=now,
            key_id=ApiKeyId(key_id),
            new_key_id=ApiKeyId(act.new_id("key")),
            hash=made.hash,
            last_four=made.last_four,
            expires_at=now + timedelta(seconds=data.expires_in_s),
            overlap_until=now + timedelta(seconds=data.overlap_s),
        )
        return _issued((await act.handle(act.tenant_stream, command)).state, command.new_key_id, made)

    @post("/{key_id:str}/revoke", status_code=200, opt=MANAGES)
    async def revoke_key(
        self,
        key_id: FromPath[str],
        data: JSONBody[Because],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> KeyView:
        """The key stops counting with the next request, everywhere."""
        known, now = ApiKeyId(key_id), parts.clock.now()
        command = RevokeKey(by=act.principal, now=now, key_id=known, reason=data.reason)
        return _view(*(await act.handle(act.tenant_stream, command)).state.holders_by_key[known])


def _reads(principal: Principal, holder: Member) -> bool:
    """Their own, where somebody is signed in; all of them with the permission."""
    own = principal.key_id is None and holder.principal_id == principal.principal_id
    return own or may(principal, Permission.KEY_READ)


def _issued(tenant: Tenant, key_id: ApiKeyId, made: NewSecret) -> Response[IssuedKey]:
    """A request that is carried out again finds the key of the first time, whose text nobody has any more."""
    member, key = tenant.holders_by_key[key_id]
    view = _view(member, key)
    shown = IssuedKey(
        **{name: getattr(view, name) for name in KeyView.__struct_fields__},
        secret=made.text if key.hash == made.hash else None,
    )
    return Response(shown, status_code=201, headers={"Location": f"/v1/keys/{key_id}"})


def _view(member: Member, key: Key) -> KeyView:
    return KeyView(
        key_id=key.key_id,
        principal_id=member.principal_id,
        name=key.name,
        last_four=key.last_four,
        environment_id=key.environment_id,
        scopes=None if key.scopes is None else sorted(key.scopes),
        issued_at=key.issued_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        replaced_by=key.replaced_by,
    )
