"""The worker records that a run waits for an account, and looks whether access was given in the meantime."""

from collections.abc import Awaitable, Callable
from typing import Any

from fairlead_sdk.auth import AuthKind

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.plugins import Connectors
from fairlead.consumers.reconnecting import react
from fairlead.domain.connections.commands import CreateConnection, NeedReconnect, RecordGrant
from fairlead.domain.connections.events import ConnectionCreated
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import ConnectionId
from fairlead.domain.runs import events as e
from fairlead.domain.runs.commands import CallErred
from fairlead.handling.reconnecting import AccessGiven
from fairlead.workers.answering import Result
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Equipping
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.connections import NoAccounts
from tests.support.connectors import BillsConnector, known, manifest, remembering
from tests.support.platform import Platform, ended, running, the_call
from tests.support.switches import FREE
from tests.support.tenancy import DEFAULT, LIVE, TENANT
from tests.unit.workers.test_run_watch import Quiet, watch

ACCOUNT = ConnectionId("con_books")
STREAM = StreamRef(TENANT, "connection", ACCOUNT)
CREATED = ConnectionCreated(
    connection_id=ACCOUNT,
    workspace_id=DEFAULT,
    environment_id=LIVE,
    connector="bills",
    name="main",
    auth=AuthKind.API_KEY,
    config={},
    scopes=(),
)
GIVEN = RecordGrant(lives=0, secret_version=1, requested=(), granted=())
GIVEN_AGAIN = RecordGrant(lives=0, secret_version=2, requested=(), granted=())


class NeedsAccount(Caller):
    """Makes a call where the account is connected; `meanwhile` happens after it has looked."""

    def __init__(self, platform: Platform, books: Books) -> None:
        super().__init__(
            known(Connectors([BillsConnector(manifest(books.keyed()))])),
            Equipping(NoAccounts(), GuardedOutbound(), FREE),
            remembering(),
        )
        self._platform = platform
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def call(self, *asked: Any, **more: Any) -> Result:
        standing = (await self._platform.main.handler.load(STREAM)).state.standing
        if self.meanwhile is not None:
            await self.meanwhile()
        if standing == "connected":
            return await super().call(*asked, **more)
        return CallErred(
            error_class="permission", code="reconnect_needed", message="the grant is gone", connection_id=ACCOUNT
        )


async def lost_access(books: Books) -> tuple[Platform, NeedsAccount]:
    platform = Platform(books.keyed())
    await platform.prepare()
    for command in (
        CreateConnection(created=CREATED),
        GIVEN,
        NeedReconnect(lives=0, secret_version=1, reason="invalid_grant"),
    ):
        await platform.handle(STREAM, command)
    caller = NeedsAccount(platform, books)
    platform.main.caller = caller
    return platform, caller


def waits(state: Any) -> bool:
    return not ended(state) and the_call(state).phase == "awaiting_connection"


async def test_a_run_waits_for_its_account_and_is_found_by_the_watch_when_the_news_were_lost() -> None:
    books = Books()
    platform, _ = await lost_access(books)
    run = await platform.start()
    async with running(platform.main.worker().run()):
        await platform.until(run, waits)
        await watch(platform, Quiet(run)).look()
        assert waits((await platform.main.handler.load(run)).state)
        await platform.handle(STREAM, GIVEN_AGAIN)
        await watch(platform, Quiet(run)).look()
        assert (await platform.until(run, ended)).outcome == "completed"
    assert books.total == 1


async def test_access_that_was_given_while_the_run_began_to_wait_is_not_missed() -> None:
    books = Books()
    platform, caller = await lost_access(books)

    async def somebody_gives_access() -> None:
        await platform.handle(STREAM, GIVEN_AGAIN)

    caller.meanwhile = somebody_gives_access
    run = await platform.start()
    async with running(platform.main.worker().run()):
        assert (await platform.until(run, ended)).outcome == "completed"
    assert any(isinstance(fact, e.ToolCallConnectionAwaited) for fact in await platform.history(run))


async def test_the_news_of_an_account_are_who_gave_what_and_where_on_the_log() -> None:
    platform, _ = await lost_access(Books())
    await platform.handle(STREAM, GIVEN_AGAIN)
    recorded = await platform.log.read(STREAM)
    news = [each for commit in recorded for each in react(commit)]
    assert [given.granted for _, given in news] == [(), ()]
    assert news[-1] == (STREAM, AccessGiven(sequence=recorded[-1].sequence, granted=(), at=T0))
