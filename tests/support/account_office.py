"""An office of a tenant with connections to a ledger at a real provider, as two processes see them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
from fairlead_sdk.auth import Auth, AuthKind, OAuthGrant, OAuthServer
from fairlead_sdk.contract import Manifest
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId

from fairlead.adapters.ids import UuidIds
from fairlead.adapters.vault.keys import KeyRing, new_line, parse_keys
from fairlead.adapters.vault.postgres_vault import PostgresVault
from fairlead.adapters.vault.slips import PostgresSlips
from fairlead.domain.connections import clients, states
from fairlead.domain.connections import decide as decisions
from fairlead.domain.connections.clients import ClientSecret, OAuthClientRegistered, RegisterOAuthClient
from fairlead.domain.connections.commands import ConnectionCommand, CreateConnection
from fairlead.domain.connections.events import ConnectionCreated, ConnectionUsed
from fairlead.domain.connections.kept import Kept
from fairlead.domain.connections.naming import connection_id, oauth_client_id
from fairlead.domain.connections.states import Account
from fairlead.domain.envelope import SYSTEM, Kind, StreamRef
from fairlead.domain.ids import CommandId, ConnectionId
from fairlead.handling.credentials import Lender
from fairlead.handling.device_sign_in import DeviceSignIns
from fairlead.handling.ending import Endings
from fairlead.handling.handler import Cause, Decider, Handled, Handler
from fairlead.handling.provider_clients import ProviderClients
from fairlead.handling.renewal import Renewal
from fairlead.handling.signing_in import SignIns
from fairlead.handling.uses import UseWriter
from fairlead.ports import Log, OAuthFlows, SqlDatabase
from fairlead.registry import TENANTS
from tests.support.clock import ManualClock
from tests.support.connections import a_tool
from tests.support.histories import CODEC
from tests.support.oauth_provider.provider import RESOURCE, SECRET
from tests.support.tenancy import BY_OWNER, CREATE, DEFAULT, LIVE, TENANT

READ, WRITE = "records:read", "records:write"
LEASE_S = 0.3
DECIDERS: dict[Kind, Decider] = {
    "tenant": TENANTS,
    "connection": Decider(initial=states.initial, evolve=states.evolve, decide=decisions.decide),
    "oauth_client": Decider(initial=clients.initial, evolve=clients.evolve, decide=clients.decide),
}


class Shelf:
    """The ledger's manifest, for everybody."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    async def manifest(self, tenant_id: TenantId, connector: str) -> Manifest | None:  # noqa: ARG002  # all the same
        return self._manifest if connector == self._manifest.name else None


class Process:
    """What one process of the platform has of it; another shares nothing but the engines."""

    def __init__(self, office: "Office", name: str) -> None:
        self.handler = Handler(office.log, office.clock, DECIDERS)
        self.vault = PostgresVault(office.database, office.keys)
        clients_of = ProviderClients(self.handler, self.vault, Shelf(office.manifest))
        self.renewal = Renewal(self.handler, self.vault, office.flows, clients_of, office.clock, LEASE_S)
        self.endings = Endings(self.handler, self.vault, office.flows, clients_of)
        self.uses = UseWriter(office.log, office.clock, UuidIds())
        self.lender = Lender(
            log=office.log,
            handler=self.handler,
            vault=self.vault,
            renewal=self.renewal,
            directory=office,
            uses=self.uses,
            clock=office.clock,
            worker=name,
        )
        slips = PostgresSlips(office.database, office.keys)
        self.sign_ins = SignIns(
            log=office.log,
            handler=self.handler,
            vault=self.vault,
            slips=slips,
            flows=office.flows,
            clients=clients_of,
            clock=office.clock,
            public_url="https://fairlead.test",
        )
        self.devices = DeviceSignIns(
            sign_ins=self.sign_ins, slips=slips, flows=office.flows, clients=clients_of, clock=office.clock
        )


class Office:
    def __init__(
        self, log: Log, database: SqlDatabase, flows: OAuthFlows, clock: ManualClock, manifest: Manifest
    ) -> None:
        self.log = log
        self.database = database
        self.flows = flows
        self.clock = clock
        self.manifest = manifest
        self.keys = KeyRing(parse_keys(new_line(), "the test"))
        self.there: list[ConnectionId] = []
        self.here = Process(self, "worker-1")
        self.elsewhere = Process(self, "worker-2")
        self._commands = 0

    async def of_connector(
        self,
        tenant_id: TenantId,
        workspace_id: WorkspaceId,
        environment_id: EnvironmentId,
        connector: str,
        at_least: object = None,  # noqa: ARG002  # always up to date
    ) -> list[ConnectionId]:
        place = (tenant_id, workspace_id, environment_id, connector)
        return self.there[:2] if place == (TENANT, DEFAULT, LIVE, "ledger") else []

    async def open(self) -> None:
        await self.ask(StreamRef(TENANT, "tenant", TENANT), CREATE)

    async def register(self, client_id: str = "basic") -> None:
        holder = oauth_client_id(TENANT, DEFAULT, LIVE, "ledger")
        secret = msgspec.json.encode(ClientSecret(secret=None if client_id == "device" else SECRET))
        registered = OAuthClientRegistered(
            oauth_client_id=holder,
            workspace_id=DEFAULT,
            environment_id=LIVE,
            connector="ledger",
            client_id=client_id,
            secret_version=await self.here.vault.put(TENANT, holder, secret),
        )
        await self.ask(StreamRef(TENANT, "oauth_client", holder), RegisterOAuthClient(registered=registered))

    async def create(self, name: str = "main", grant: OAuthGrant | None = OAuthGrant.AUTHORIZATION_CODE) -> Account:
        """A connection that nobody has given access for yet."""
        created = ConnectionCreated(
            connection_id=connection_id(TENANT, DEFAULT, LIVE, name),
            workspace_id=DEFAULT,
            environment_id=LIVE,
            connector="ledger",
            name=name,
            auth=self.manifest.auth.kind,
            grant=grant if self.manifest.auth.kind is AuthKind.OAUTH2 else None,
            config={},
            scopes=(READ,),
        )
        await self.tell(created.connection_id, CreateConnection(created=created))
        self.there.append(created.connection_id)
        return await self.account(created.connection_id)

    async def give(self, account: Account, kept: Kept, *granted: str) -> None:
        await self.here.sign_ins.keep(BY_OWNER, account, kept, granted, granted)

    async def tell(
        self, connection: ConnectionId, command: ConnectionCommand, process: Process | None = None
    ) -> Handled:
        return await self.ask(StreamRef(TENANT, "connection", connection), command, process)

    async def ask(self, stream: StreamRef, command: object, process: Process | None = None) -> Handled:
        self._commands += 1
        cause = Cause(actor=SYSTEM, command_id=CommandId(f"cmd_test{self._commands}"))
        return await (process or self.here).handler.handle(stream, command, cause)

    async def account(self, connection: ConnectionId) -> Account:
        state = (await self.here.handler.load(StreamRef(TENANT, "connection", connection))).state
        assert isinstance(state, Account)
        return state

    async def facts(self, connection: ConnectionId) -> list[str]:
        """The tags of its history, without stream and version."""
        history = await self.log.read(StreamRef(TENANT, "connection", connection))
        tags = [str(event.__struct_config__.tag) for recorded in history for event in recorded.commit.events]
        return [tag.split(".")[1] for tag in tags]

    async def uses(self) -> list[list[ConnectionUsed]]:
        """What is on the log of them, by commit."""
        found: list[list[ConnectionUsed]] = []
        async with self.log.follow(0, kinds=("connection_use",)) as batches:  # type: ignore[arg-type]  # from the start
            async for batch in batches:
                if not batch:
                    return found
                found += [list(recorded.commit.events) for recorded in batch if hasattr(recorded, "commit")]
        return found

    async def everything(self) -> bytes:
        """Every byte on the log."""
        found = b""
        async with self.log.follow(0) as batches:  # type: ignore[arg-type]  # from the start
            async for batch in batches:
                if not batch:
                    return found
                found += b"".join(recorded.body for recorded in batch if hasattr(recorded, "body"))
        return found

    def forward(self, seconds: float) -> None:
        self.clock.forward(timedelta(seconds=seconds))


def ledger(issuer: str | None = None, kind: AuthKind = AuthKind.OAUTH2) -> Manifest:
    server = OAuthServer(issuer=issuer, resource=RESOURCE, grants=tuple(OAuthGrant))
    return Manifest(
        name="ledger",
        title="Ledger",
        version="1.0.0",
        tools=(a_tool("read_lines", READ),),
        auth=Auth(kind=kind, oauth=server if kind is AuthKind.OAUTH2 else None),
    )


@asynccontextmanager
async def an_office(
    log: Log, database: SqlDatabase, flows: OAuthFlows, clock: ManualClock, manifest: Manifest
) -> AsyncIterator[Office]:
    office = Office(log, database, flows, clock, manifest)
    await office.open()
    yield office


__all__ = ["CODEC", "READ", "WRITE", "Office", "an_office", "ledger"]
