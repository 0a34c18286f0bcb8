"""The Protocols that everything above is written against. Each has a real and a memory implementation
that pass the same suite in tests/contract."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, LiteralString, Protocol, TypeVar, runtime_checkable

from fairlead_ledger.heads import Head
from fairlead_ledger.keys import ListedKey, Signer
from fairlead_sdk.auth import NO_AUTH, Auth
from fairlead_sdk.contract import Manifest
from fairlead_sdk.objects import Objects
from fairlead_sdk.outbound import Addresses, Credential, Http
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.codec import Unreadable
from fairlead.domain.connections.grants import (
    AuthorizationAnswer,
    AuthorizationRequest,
    DevicePending,
    DeviceRequest,
    Grant,
    OAuthClient,
)
from fairlead.domain.connections.use import Lent, Seen, Use
from fairlead.domain.envelope import Commit, Kind, Recorded, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError
from fairlead.domain.ids import ConnectionId
from fairlead.domain.results import Found, KeptResult, ResultKey
from fairlead.domain.sealing import ContentKey
from fairlead.domain.switches.board import Board
from fairlead.domain.switches.verdict import Boards
from fairlead.domain.throttling import Limit

AnyCommit = Commit[Any]
AnyRecorded = Recorded[Any]
Followed = AnyRecorded | Unreadable  # a reader of many streams is not stopped by what it cannot read
T = TypeVar("T")


@runtime_checkable
class Clock(Protocol):
    """The only place time comes from."""

    def now(self) -> datetime:
        """Aware, UTC."""


@runtime_checkable
class Ids(Protocol):
    """The only place randomness becomes identity."""

    def new(self, prefix: str) -> str:
        """`new("run")` is `run_` and 26 characters that sort by time of creation."""


@runtime_checkable
class Log(Protocol):
    """The truth. Every method raises Unavailable when the engine does not answer."""

    async def append(self, commit: AnyCommit, expected: LogSequence, subject: str = "") -> LogSequence:
        """Store the commit if the stream's last commit is at `expected` (0: the stream is empty). Its content is sealed
        under the key of the data subject, see `ContentKeys`.

        Durable when it returns. Retries an unknown answer by itself under the same commit id, so one call makes
        at most one commit. Raises StreamMoved when the stream's last commit is elsewhere, and when a commit of that id
        is there with other content: whoever decided on an older state must not take its facts for what happened.
        """

    async def read(self, stream: StreamRef, after: LogSequence = LogSequence(0)) -> list[AnyRecorded]:
        """Commits of one stream past `after`, oldest first, in one round trip (strongly consistent).

        Raises UnreadableCommit when one of them cannot be read.
        """

    async def heads(self, streams: Sequence[StreamRef]) -> list[LogSequence]:
        """Sequence of the last commit of each stream, 0 where there is none, in one round trip."""

    def follow(
        self,
        after: LogSequence,
        kinds: Sequence[Kind] = (),
        max_batch: int = 500,
        tenants: Sequence[TenantId] = (),
        in_bursts: bool = False,
    ) -> AbstractAsyncContextManager["Batches"]:
        """Every commit past `after` in log order, then new ones as they come. Keeps no position: the caller does.

        Of these kinds and tenants alone, where some are named. `in_bursts` is for a caller that pauses between batches:
        what comes meanwhile is handed over together when it asks, which costs less than handing over each by itself.
        """

    def share(
        self, group: str, kinds: Sequence[Kind] = (), max_batch: int = 100
    ) -> AbstractAsyncContextManager["Shares"]:
        """Commits by partition, shared among all processes that share `group`.

        One process holds a partition at a time; order within a stream is kept; when the holder dies another
        takes over from the last acknowledged commit. Delivery is at least once.
        """

    async def last_sequence(self) -> LogSequence:
        """Sequence of the newest commit of all, 0 for an empty log."""


class Copy(Struct, frozen=True, kw_only=True):
    """A commit as the engine keeps it, whatever is in it. `body` is the commit. Where that lay as a blob, `claimed`, it
    has been fetched; where it could not be, or is not what was written, `body` is the message that names it."""

    sequence: LogSequence
    stream: StreamRef
    message_id: str
    headers: bytes
    body: bytes
    claimed: bool


class CopyBatches(Protocol):
    def __aiter__(self) -> AsyncIterator[list[Copy]]:
        """As `Batches`."""


@runtime_checkable
class LogCopies(Protocol):
    """The log for whoever keeps a second one. Every method raises Unavailable when the engine does not answer."""

    def copies(self, after: LogSequence, max_batch: int = 500) -> AbstractAsyncContextManager[CopyBatches]:
        """As `Log.follow` in bursts, without reading what is in a commit."""

    async def copy_of(self, sequence: LogSequence) -> Copy | None:
        """The commit at this place; None where there is none, or none any more."""

    async def last_sequence(self) -> LogSequence: ...


class HeadKeys(Protocol):
    """Keys that sign ledgers. A new one may come at any time."""

    def signer(self) -> Signer: ...

    def public(self) -> list[ListedKey]:
        """Oldest first; each is vouched for by the one before it."""


class HeadAnchor(Protocol):
    """A place outside, for signed heads."""

    async def lay(self, heads: Sequence[Head]) -> None:
        """In order. Laid down when it returns. Raises Unavailable; some may be laid down then."""


class Batches(Protocol):
    def __aiter__(self) -> AsyncIterator[list[Followed]]:
        """Non-empty batches, in order. An empty list is yielded once each time the reader has caught up."""


class Delivery(Protocol):
    """Commits of one partition, in order."""

    partition: int
    recorded: Sequence[Followed]

    async def ack(self) -> None:
        """All of this delivery is dealt with."""

    async def nack(self, delay_s: float) -> None:
        """None of this delivery is dealt with: hand it over again after the delay."""


class Shares(Protocol):
    def __aiter__(self) -> AsyncIterator[Delivery]: ...


class Order(Protocol):
    """A job taken from a lane. Unfinished orders come back after their lease."""

    body: bytes
    deliveries: int  # 1 the first time

    async def done(self) -> None: ...

    async def extend(self) -> None:
        """Heartbeat: start the lease anew."""

    async def later(self, delay_s: float) -> None: ...

    def park(self) -> None:
        """It waits: another may be taken in its place, though this one is still ours and needs its heartbeat."""

    def unpark(self) -> None:
        """It goes on, and counts again."""


class Unfinished(Struct, frozen=True):
    """Orders that nobody has finished, in hand or not, and for how long the oldest of them has been there."""

    count: int
    oldest_s: float


class Jobs(Protocol):
    """Orders: may be lost and are made again from the facts. Publishing does not wait for the engine."""

    async def publish(self, lane: str, tenant_id: str, order_id: str, body: bytes) -> None:
        """An order that is still in its lane, taken or not, is not stored a second time."""

    def take(self, lane: str, max_in_flight: int) -> AbstractAsyncContextManager[AsyncIterator[Order]]: ...

    async def unfinished(self, lane: str) -> Unfinished: ...

    def when_lost(self, call: Callable[[], None]) -> None:
        """`call` is called each time orders may have been lost, once new ones are taken again."""


class Timers(Protocol):
    """Durable alarms. Setting the same timer id again replaces it."""

    async def set(self, tenant_id: str, timer_id: str, due_at: datetime, body: bytes) -> None: ...

    async def clear(self, tenant_id: str, timer_id: str) -> None: ...

    def due(self, max_in_flight: int) -> AbstractAsyncContextManager[AsyncIterator[Order]]: ...

    async def unfinished(self) -> Unfinished:
        """Alarms that are due."""


class Over(Struct, frozen=True, kw_only=True):
    """A limit has no room now: for calls of this minute, or for calls at once."""

    limit: Limit
    short_of: Literal["calls", "places"]
    wait_s: float


class Passed(Struct, frozen=True, kw_only=True):
    """What was taken of the limits, for whoever gave it."""

    taken: tuple[Any, ...] = ()
    since_s: float = 0.0


class Throttle(Protocol):
    """Limits that hold across processes."""

    async def enter(self, limits: Sequence[Limit], tenant_id: str) -> Passed | Over:
        """Take a call, and a place, of each limit, or of none. No question is asked where there is no limit.

        Raises Unavailable when the engine does not answer and nothing is left here.
        """

    def leave(self, passed: Passed) -> None:
        """The call has ended: its places are free."""

    async def keep(self) -> None:
        """Say that calls are under way: places of a process that says nothing for a while go to others."""


class Switches(Protocol):
    """The switches that are on, where every process sees them. Derived: the facts are on the log."""

    def known(self) -> Boards | None:
        """As of a moment ago, without a question. None while that cannot be said: nothing may then be done."""

    async def changed(self, timeout_s: float) -> bool:
        """Wait until something else is known than when this was asked. False: the time was up first."""

    async def keep(self, holder: TenantId, board: Board) -> None:
        """Show a holder's board to everybody; one that is older than what is shown is not. Raises Unavailable."""

    async def complete(self) -> None:
        """Every board on the log is kept: from here on what is shown is all there is. Raises Unavailable."""

    async def run(self, fill: Callable[[], Awaitable[None]]) -> None:
        """Watch, until cancelled. `fill` is asked when what is shown may not be all: it keeps every board that is on
        the log, and says `complete`."""


class SqlTx(Protocol):
    """One transaction, fenced to one tenant. Statements are whole, with named parameters, and never glued together."""

    async def run(self, statement: LiteralString, params: Mapping[str, Any] | None = None) -> None: ...

    async def run_many(self, statement: LiteralString, params: Sequence[Mapping[str, Any]]) -> None: ...

    async def rows(self, statement: LiteralString, params: Mapping[str, Any] | None, into: Callable[..., T]) -> list[T]:
        """`into` is called once a row with the columns by name."""

    async def row(
        self, statement: LiteralString, params: Mapping[str, Any] | None, into: Callable[..., T]
    ) -> T | None: ...


class FoldTx(SqlTx, Protocol):
    """A consumer's transaction: it moves from tenant to tenant, and no statement waits for the one before, so an error
    is raised by a later statement or at the end."""

    async def fence(self, tenant_id: str) -> None: ...

    async def analyze(self, tables: Sequence[str]) -> None:
        """Count the tables anew and plan statements on them anew."""


class SqlDatabase(Protocol):
    """Transactions under one role. Each raises Unavailable when the database does not answer."""

    def tenant(self, tenant_id: str) -> AbstractAsyncContextManager[SqlTx]: ...

    def read(self, tenant_id: str) -> AbstractAsyncContextManager[SqlTx]:
        """Changes nothing."""

    def platform(self) -> AbstractAsyncContextManager[SqlTx]:
        """For tables that belong to no tenant. Any other raises."""

    async def call(self, statement: LiteralString, params: Mapping[str, Any], into: Callable[..., T]) -> list[T]:
        """One statement, durable when it returns, in one round trip. It asks a function that fences itself to the
        tenants that it is given; reading a tenant's table outside of one raises."""


class SqlSession(Protocol):
    """One connection to the database. Raises Unavailable when it breaks; its locks are then already free."""

    async def try_lock(self, name: str) -> bool: ...

    def transaction(self) -> AbstractAsyncContextManager[FoldTx]: ...


class SqlSessions(Protocol):
    def session(self) -> AbstractAsyncContextManager[SqlSession]: ...


class KeyEncryption(Protocol):
    """Wraps the keys of secrets: a list of keys of our own, or a KMS. Both methods raise Unavailable."""

    async def wrap(self, data_key: bytes) -> bytes:
        """By the key that is current now. Its id and a colon come first, so that it is known what opens it."""

    async def unwrap(self, wrapped: bytes) -> bytes:
        """Raises SecretUnreadable when the key is not there or did not wrap this."""


class Secret(Struct, frozen=True, kw_only=True):
    """`version` counts the writes of this holder's secret; `body` is what was put."""

    version: int
    body: bytes

    def __repr__(self) -> str:
        return f"Secret(version={self.version})"


class Turn(Struct, frozen=True, kw_only=True):
    """The right to replace a secret. `fence` grows with each turn, so that whoever is late is told."""

    secret: Secret
    fence: int


class Vault(Protocol):
    """Secrets of a tenant, sealed. A holder is a connection or an OAuth client; it has one secret at a time.

    Every method raises Unavailable. What was sealed for another tenant, holder or version, or was altered, raises
    SecretUnreadable and never yields anything.
    """

    async def put(self, tenant_id: TenantId, holder_id: str, body: bytes) -> int:
        """The version that it has now. Replaces an older one."""

    async def get(self, tenant_id: TenantId, holder_id: str) -> Secret | None: ...

    async def erase(self, tenant_id: TenantId, holder_id: str, version: int) -> bool:
        """Nothing can read it again, and versions go on from where they were. False: it has moved past this version."""

    async def take_turn(self, tenant_id: TenantId, holder_id: str, version: int, lease_s: float) -> Turn | None:
        """The turn to replace the secret that has this version. None while another has it, when the secret has moved
        on, and when there is none. Nobody else is given a turn within the lease."""

    async def end_turn(self, tenant_id: TenantId, holder_id: str, turn: Turn, body: bytes | None) -> int | None:
        """Put what replaces the secret, or None to leave it. Its version; None when the turn was lost to another."""


class ContentKeys(Protocol):
    """Keys that content is sealed under: one for each data subject of a tenant, and one for the tenant, "".

    Kept in memory while used, so that work goes on while the database is away. Every method raises Unavailable.
    """

    async def sealing(self, tenant_id: TenantId, subject: str) -> ContentKey:
        """Made at first use, once for all processes; made anew after it was destroyed."""

    async def opening(self, tenant_id: TenantId, key_ids: Collection[str]) -> Mapping[str, ContentKey | None]:
        """In one query. None for a key that was destroyed; a key that is not there is left out."""


class Slips(Protocol):
    """Secrets that are needed for minutes: what is kept between the two halves of a sign-in. Sealed like the vault's.

    `name` must be hard to guess; it is stored as a hash. Every method raises Unavailable.
    """

    async def keep(self, tenant_id: TenantId, name: str, body: bytes, life_s: float) -> None:
        """Replaces what was kept under that name."""

    async def read(self, tenant_id: TenantId, name: str) -> bytes | None: ...

    async def take(self, tenant_id: TenantId, name: str) -> bytes | None:
        """Of all who ask, one gets it."""


class ConnectionDirectory(Protocol):
    async def of_connector(
        self,
        tenant_id: TenantId,
        workspace_id: WorkspaceId,
        environment_id: EnvironmentId,
        connector: str,
        at_least: LogSequence | None = None,
    ) -> list[ConnectionId]:
        """Those that are there, two at most: one is the only one, two are too many to choose from.

        Waits until all that is on the log up to `at_least` is known. Raises Unavailable when that takes too long.
        """


class ObjectStores(Protocol):
    def of(self, tenant_id: TenantId, workspace_id: WorkspaceId, environment_id: EnvironmentId) -> Objects:
        """That place and no other."""


class Manifests(Protocol):
    async def manifest(self, tenant_id: TenantId, connector: str) -> Manifest | None:
        """As this tenant knows the connector."""


class Credentials(Protocol):
    def lend(self, use: Use) -> AbstractAsyncContextManager[Lent]:
        """What one call needs, checked as of now: the connection holds, it was granted the scopes, the credential is
        fresh. The use is on its way to the log when this yields, and on the log when it ends.

        Raises NeedsReconnect, ScopeMissing, ConnectionNotFound, ConnectionAmbiguous, ConnectionMismatch, Unavailable.
        """

    async def account(self, use: Use) -> Seen:
        """The account that would be lent, checked in the same way. Nothing is lent, so nothing is recorded."""

    async def refused(self, use: Use, lent: Lent) -> bool:
        """The counterpart did not take what was lent. True: there is a newer one to try with. False: a person is
        needed, and the connection says so from now on."""


class MailRefused(FairleadError):
    """The mail server will never take this message for this address."""

    code = "mail_refused"


class Mail(Struct, frozen=True, kw_only=True):
    """To one person, in plain text. `key` is the same when the same mail is sent again."""

    to: str
    subject: str
    text: str
    key: str


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Returns once a mail server has taken it. Raises MailRefused, Unavailable to be asked again later."""


class Results(Protocol):
    """What reads gave a moment ago, for all processes. What is not kept costs a call and nothing else."""

    async def find(self, key: ResultKey) -> Found:
        """Never raises: a cache that does not answer is empty, and keeps nothing."""

    def keep(self, key: ResultKey, epoch: str, kept: KeptResult) -> None:
        """What a call gave that was asked for after `epoch` was found. Does not wait."""

    async def forget(self, tenant_id: TenantId, connector: str, surely: bool) -> None:
        """Something was written: what the connector's reads gave, or are just being given, is not given again.

        `surely`: returns when it is so, for all processes; else it is said and not waited for.
        """


class OAuthFlows(Protocol):
    """Our side of OAuth 2.1. Each raises GrantRefused, ProviderUnavailable, ProviderMisfit; no secret in any text."""

    async def authorize(
        self, client: OAuthClient, redirect_uri: str, scopes: Sequence[str], state: str
    ) -> AuthorizationRequest:
        """Authorization code with PKCE (S256). Asks the provider for nothing but its metadata."""

    async def exchange(self, client: OAuthClient, answer: AuthorizationAnswer, scopes: Sequence[str]) -> Grant: ...

    async def refresh(self, client: OAuthClient, refresh_token: str, scopes: Sequence[str]) -> Grant:
        """Spends the refresh token. The caller sees to it that nobody else does."""

    async def client_credentials(self, client: OAuthClient, scopes: Sequence[str]) -> Grant: ...

    async def device_start(self, client: OAuthClient, scopes: Sequence[str]) -> DeviceRequest: ...

    async def device_poll(
        self, client: OAuthClient, device_code: str, scopes: Sequence[str], interval_s: int
    ) -> Grant | DevicePending:
        """`interval_s` is the pause of the request, or of the last answer."""

    async def token_exchange(
        self, client: OAuthClient, subject_token: str, subject_token_type: str, scopes: Sequence[str]
    ) -> Grant:
        """RFC 8693: a token of somebody else's for one of our own."""

    async def revoke(self, client: OAuthClient, grant: Grant) -> bool:
        """Tell the provider that the grant is over (RFC 7009). False where it has no place to be told."""


class WayOut(Struct, frozen=True, kw_only=True):
    """How one call may reach its counterpart, and for how long.

    `owner` is whose kept connections it may use: the connection's id, or the tenant's for calls without one; never
    something that two tenants share. None keeps no connection. `egress` are hosts as in `Manifest.egress`, their
    fields filled from `config`.
    """

    owner: str | None
    egress: tuple[str, ...]
    timeout_s: float
    config: Mapping[str, str] = {}
    auth: Auth = NO_AUTH
    credential: Credential | None = None


@runtime_checkable
class Outbound(Protocol):
    """The way to the world, for a process."""

    def http(self, way: WayOut) -> Http:
        """For one call; its time runs from here."""

    def addresses(self, way: WayOut) -> Addresses:
        """For one call of a connector that ships with the platform."""
