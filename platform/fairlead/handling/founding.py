"""How a tenant begins: with its first owner, and a key for that owner, since nobody could ask for one yet."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from fairlead_tenants.access import EnvironmentKind
from fairlead_tenants.ids import ApiKeyId, EnvironmentId, PrincipalId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.errors import Denied
from fairlead.domain.ids import CommandId
from fairlead.domain.tenants.commands import CreateTenant, IssueKey
from fairlead.domain.tenants.errors import CredentialRefused
from fairlead.domain.tenants.identity import authenticate, principal_of
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.handler import Cause, Handler
from fairlead.ports import Clock, Ids

KEY_LIFE = timedelta(days=90)
KEY_NAME = "first key"


class NewSecret(Protocol):
    """A key that was just made; `text` is kept nowhere by us."""

    @property
    def text(self) -> str: ...

    @property
    def hash(self) -> str: ...

    @property
    def last_four(self) -> str: ...


MakeKey = Callable[[EnvironmentKind, TenantId], NewSecret]


class Founded(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    owner_id: PrincipalId
    live_environment_id: EnvironmentId


class Founder:
    """Acts for the operator of the installation: no principal of a tenant may do this."""

    def __init__(self, handler: Handler, ids: Ids, clock: Clock) -> None:
        self._handler = handler
        self._ids = ids
        self._clock = clock

    async def found(self, name: str, owner_email: str, owner_name: str) -> Founded:
        """Raises Invalid."""
        command = CreateTenant(
            tenant_id=TenantId(self._ids.new("tnt")),
            name=name,
            owner_id=PrincipalId(self._ids.new("prn")),
            owner_email=owner_email,
            owner_display_name=owner_name,
            workspace_id=WorkspaceId(self._ids.new("wsp")),
            live_environment_id=EnvironmentId(self._ids.new("env")),
            test_environment_id=EnvironmentId(self._ids.new("env")),
            now=self._clock.now(),
        )
        await self._handler.handle(_stream(command.tenant_id), command, self._cause())
        return Founded(
            tenant_id=command.tenant_id,
            owner_id=command.owner_id,
            live_environment_id=command.live_environment_id,
        )

    async def issue_owner_key(self, founded: Founded, make_key: MakeKey, life: timedelta = KEY_LIFE) -> NewSecret:
        """A key of the live environment, in the owner's own name. Raises TenantUnknown, LimitReached."""
        stream, now = _stream(founded.tenant_id), self._clock.now()
        owner = principal_of((await self._handler.load(stream)).state, founded.owner_id)
        made = make_key("live", founded.tenant_id)
        command = IssueKey(
            by=owner,
            key_id=ApiKeyId(self._ids.new("key")),
            principal_id=owner.principal_id,
            name=KEY_NAME,
            hash=made.hash,
            last_four=made.last_four,
            environment_id=founded.live_environment_id,
            expires_at=now + life,
            now=now,
        )
        await self._handler.handle(stream, command, self._cause())
        return made

    async def stands_for_owner(self, founded: Founded, key_hash: str) -> bool:
        """Whether the tenant is there and a key of this hash still counts as its owner's."""
        state = (await self._handler.load(_stream(founded.tenant_id))).state
        try:
            return authenticate(state, key_hash, self._clock.now()).principal_id == founded.owner_id
        except (CredentialRefused, Denied):
            return False

    async def is_there(self, founded: Founded) -> bool:
        return isinstance((await self._handler.load(_stream(founded.tenant_id))).state, Tenant)

    def _cause(self) -> Cause:
        return Cause(actor=SYSTEM, command_id=CommandId(self._ids.new("cmd")))


def _stream(tenant_id: TenantId) -> StreamRef:
    return StreamRef(tenant_id, "tenant", tenant_id)
