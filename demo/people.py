"""The tenant of the demonstration and its people: an owner who starts runs, and two reviewers who sign.

Keys of people are made by the operator here, since the demonstration has no identity provider to sign in with.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import ApiKeyId, PrincipalId, TenantId
from msgspec import Struct

from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.embedded.secrets import write_private
from fairlead.app import Core
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CommandId
from fairlead.domain.tenants.commands import AddPerson, GrantRole, IssueKey
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.founding import Founded, Founder
from fairlead.handling.handler import Cause

LIFE = timedelta(days=7)


class Person(Struct, frozen=True, kw_only=True):
    name: str
    principal_id: PrincipalId
    key: str

    def __repr__(self) -> str:
        return f"Person({self.name!r})"


class Company(Struct, frozen=True, kw_only=True):
    """A tenant with people in it. `key_file` holds the owner's key, for whoever goes on by hand."""

    tenant_id: TenantId
    workspace_id: str
    olga: Person
    rana: Person
    ruben: Person
    key_file: Path


class Staffing:
    def __init__(self, core: Core, keys: ApiKeys) -> None:
        self._core = core
        self._keys = keys

    async def found(self, key_file: Path) -> Company:
        founder = Founder(self._core.handler, self._core.ids, self._core.clock)
        founded = await founder.found("Northwind Harbour Supplies", "olga@northwind.example", "Olga Owner")
        olga = Person(name="Olga Owner", principal_id=founded.owner_id, key=await self._key(founded, founded.owner_id))
        await asyncio.to_thread(write_private, key_file, olga.key.encode() + b"\n")
        return Company(
            tenant_id=founded.tenant_id,
            workspace_id=next(iter((await self._tenant(founded.tenant_id)).workspaces)),
            olga=olga,
            rana=await self._reviewer(founded, "Rana Reviewer", "rana@northwind.example"),
            ruben=await self._reviewer(founded, "Ruben Reviewer", "ruben@northwind.example"),
            key_file=key_file,
        )

    async def _reviewer(self, founded: Founded, name: str, email: str) -> Person:
        owner = principal_of(await self._tenant(founded.tenant_id), founded.owner_id)
        person, now = PrincipalId(self._core.ids.new("prn")), self._core.clock.now()
        await self._do(
            founded.tenant_id, AddPerson(by=owner, principal_id=person, email=email, display_name=name, now=now)
        )
        await self._do(founded.tenant_id, GrantRole(by=owner, principal_id=person, grant=Grant(Role.REVIEWER), now=now))
        return Person(name=name, principal_id=person, key=await self._key(founded, person))

    async def _key(self, founded: Founded, person: PrincipalId) -> str:
        made, now = self._keys.new("live", founded.tenant_id), self._core.clock.now()
        command = IssueKey(
            by=principal_of(await self._tenant(founded.tenant_id), person),
            key_id=ApiKeyId(self._core.ids.new("key")),
            principal_id=person,
            name="demonstration",
            hash=made.hash,
            last_four=made.last_four,
            environment_id=founded.live_environment_id,
            expires_at=now + LIFE,
            now=now,
        )
        await self._do(founded.tenant_id, command)
        return made.text

    async def _tenant(self, tenant_id: TenantId) -> Tenant:
        state = (await self._core.handler.load(StreamRef(tenant_id, "tenant", tenant_id))).state
        assert isinstance(state, Tenant), "it has just been founded"
        return state

    async def _do(self, tenant_id: TenantId, command: AddPerson | GrantRole | IssueKey) -> None:
        cause = Cause(actor=SYSTEM, command_id=CommandId(self._core.ids.new("cmd")))
        await self._core.handler.handle(StreamRef(tenant_id, "tenant", tenant_id), command, cause)
