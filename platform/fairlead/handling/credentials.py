"""Lends a connection's credential to one call: checked against the log at that moment, fresh, and on record."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from fairlead_sdk.auth import AuthKind
from fairlead_sdk.outbound import Connection
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.connections import kept as secrets
from fairlead.domain.connections.events import ConnectionUsed
from fairlead.domain.connections.kept import KeptGrant
from fairlead.domain.connections.resolution import resolve, usable
from fairlead.domain.connections.states import Account, generation
from fairlead.domain.connections.use import Lent, Seen, Use
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import ConnectionId
from fairlead.handling.handler import Handler
from fairlead.handling.renewal import Held, Renewal
from fairlead.handling.uses import UseWriter
from fairlead.ports import Clock, ConnectionDirectory, Log, Vault

KEPT_SECRETS = 1_024
KEPT_CHOICES = 4_096
CHOICE_LIFE = timedelta(seconds=1)  # which connection is the only one may be known for so long; a name needs no look
JUST_GIVEN = timedelta(seconds=60)  # a credential this young that is refused will not be better for being renewed

_Place = tuple[TenantId, WorkspaceId, EnvironmentId, str]


class Checked(Struct, frozen=True, kw_only=True):
    """A use that is in order, and the secret for it."""

    account: Account
    held: Held | None  # None for an account without authentication


class Lender:
    """Implements `ports.Credentials`. One per process; `worker` is recorded with each use."""

    def __init__(
        self,
        *,
        log: Log,
        handler: Handler,
        vault: Vault,
        renewal: Renewal,
        directory: ConnectionDirectory,
        uses: UseWriter,
        clock: Clock,
        worker: str,
    ) -> None:
        self._log = log
        self._handler = handler
        self._vault = vault
        self._renewal = renewal
        self._directory = directory
        self._uses = uses
        self._clock = clock
        self._worker = worker
        self._secrets: OrderedDict[tuple[TenantId, ConnectionId], Held] = OrderedDict()
        self._choices: OrderedDict[_Place, tuple[ConnectionId, datetime]] = OrderedDict()

    @asynccontextmanager
    async def lend(self, use: Use) -> AsyncIterator[Lent]:
        checked = await self._checked(use)
        now = self._clock.now()
        lent = _loan(checked, now)
        recorded = self._uses.write(use.tenant_id, self._fact(use, checked, lent, now))
        try:
            yield lent
        finally:
            await recorded

    async def account(self, use: Use) -> Seen:
        account = await self._account(use, await self._choose(use))
        shown = Connection(connection_id=account.connection_id, config=account.config)
        return Seen(connection=shown, generation=generation(account))

    async def refused(self, use: Use, lent: Lent) -> bool:
        account = await self._account(use, lent.connection_id)
        if account.auth is AuthKind.NONE:
            return False
        held = await self._held(use.tenant_id, account)
        if lent.credential is None or secrets.credential_of(held.kept) != lent.credential:
            return True
        now = self._clock.now()
        if isinstance(held.kept, KeptGrant) and held.kept.given_at + JUST_GIVEN <= now:
            await self._renewed(use.tenant_id, account, held)
            return True
        await self._renewal.need_person(use.tenant_id, account, held.version, "credential_refused")
        return False

    async def _checked(self, use: Use) -> Checked:
        account = await self._account(use, await self._choose(use))
        if account.auth is AuthKind.NONE:
            return Checked(account=account, held=None)
        held = await self._held(use.tenant_id, account)
        now = self._clock.now()
        if secrets.wants_renewal(held.kept, now):
            held = await self._fresh(use.tenant_id, account, held)
            account = await self._account(use, account.connection_id)  # a refresh may have brought fewer scopes
        return Checked(account=account, held=held)

    async def _choose(self, use: Use) -> ConnectionId:
        place = (use.tenant_id, use.workspace_id, use.environment_id, use.connector)
        if use.connection is not None:
            return resolve(*place, use.connection, ())
        now, known = self._clock.now(), self._choices.get(place)
        if known is not None and known[1] > now:
            return known[0]
        there: Sequence[ConnectionId] = await self._directory.of_connector(*place)
        if not there:  # it may have been made a moment ago
            there = await self._directory.of_connector(*place, await self._log.last_sequence())
        chosen = resolve(*place, None, there)
        self._choices[place] = (chosen, now + CHOICE_LIFE)
        while len(self._choices) > KEPT_CHOICES:
            self._choices.popitem(last=False)
        return chosen

    async def _account(self, use: Use, connection_id: ConnectionId) -> Account:
        """As of now: what was revoked a moment ago, anywhere, is refused here, and its secret forgotten."""
        stream = StreamRef(use.tenant_id, "connection", connection_id)
        (head,) = await self._log.heads([stream])
        state = (await self._handler.load(stream, head)).state
        if not isinstance(state, Account) or state.standing != "connected":
            self._secrets.pop((use.tenant_id, connection_id), None)
        return usable(use, state)

    async def _held(self, tenant_id: TenantId, account: Account) -> Held:
        """At least the version that the history speaks of: an older one, put back into the database, is of no use."""
        key = (tenant_id, account.connection_id)
        known = self._secrets.get(key)
        if known is not None and known.version >= account.secret_version:
            return known
        secret = await self._vault.get(tenant_id, account.connection_id)
        if secret is None or secret.version < account.secret_version:
            raise await self._renewal.need_person(tenant_id, account, account.secret_version, "secret_missing")
        return self._keep(key, Held(version=secret.version, kept=secrets.decode(secret.body)))

    async def _fresh(self, tenant_id: TenantId, account: Account, held: Held) -> Held:
        """A provider that does not answer is borne as long as the old credential is good."""
        try:
            return await self._renewed(tenant_id, account, held)
        except Unavailable:
            if secrets.is_spent(held.kept, self._clock.now()):
                raise
            return held

    async def _renewed(self, tenant_id: TenantId, account: Account, held: Held) -> Held:
        return self._keep((tenant_id, account.connection_id), await self._renewal.renew(tenant_id, account, held))

    def _keep(self, key: tuple[TenantId, ConnectionId], held: Held) -> Held:
        self._secrets.pop(key, None)
        self._secrets[key] = held
        while len(self._secrets) > KEPT_SECRETS:
            self._secrets.popitem(last=False)
        return held

    def _fact(self, use: Use, checked: Checked, lent: Lent, now: datetime) -> ConnectionUsed:
        return ConnectionUsed(
            connection_id=lent.connection_id,
            workspace_id=use.workspace_id,
            environment_id=use.environment_id,
            secret_version=checked.held.version if checked.held else 0,
            tool=use.tool,
            scopes=use.scopes,
            run_id=use.run_id,
            call_id=use.call_id,
            attempt=use.attempt,
            purpose=use.purpose,
            worker=self._worker,
            lent_at=now,
            lent_until=lent.expires_at,
        )


def _loan(checked: Checked, now: datetime) -> Lent:
    account, held = checked.account, checked.held
    return Lent(
        connection_id=account.connection_id,
        connection=Connection(connection_id=account.connection_id, config=account.config),
        credential=secrets.credential_of(held.kept) if held else None,
        expires_at=secrets.ends_at(held.kept, now) if held else now + secrets.MAX_LOAN,
        generation=generation(account),
    )
