"""What a call is given to reach its counterpart, and what it means when there is nothing to give."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.auth import NO_AUTH, Auth, AuthKind
from fairlead_sdk.contract import Call, Effect, Idempotency, Manifest
from fairlead_sdk.errors import NeedsReconnect, Refused
from fairlead_sdk.objects import NoObjects
from fairlead_sdk.outbound import Connection, Credential, Http, NoAddresses, NoHttp
from fairlead_tenants.ids import TenantId

from fairlead.domain.connections import errors
from fairlead.domain.connections.use import Lent, Seen, Use
from fairlead.domain.errors import FairleadError, Unavailable
from fairlead.domain.ids import CallId
from fairlead.domain.runs.commands import CallErred, CallSucceeded
from fairlead.domain.runs.states import OpenCall
from fairlead.domain.tenants.states import Absent
from fairlead.domain.tools import ToolCatalogue, facts_of
from fairlead.handling.tenant_tools import Fitted
from fairlead.ports import WayOut
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Equipping, Place
from tests.support.clock import T0
from tests.support.connections import ALICE, CONFIG, DESK, LIVE, MAIN, READ, WRITE, Line, a_tool, ledger
from tests.support.connectors import remembering
from tests.support.documents import Plain
from tests.support.histories import a_run, requested
from tests.support.switches import FREE

RUN = a_run(ALICE, 1)
HERE = Place(ALICE, "live", DESK, LIVE, RUN.id)  # type: ignore[arg-type]  # a run's id
SECRET = Credential(secret="at-1", username="ann")
NOTHING: Mapping[str, str] = {}


class Bank:
    """Lends, and keeps account of it."""

    def __init__(self, *refusals: FairleadError, renews: bool = False) -> None:
        self.refusals = list(refusals)
        self.generation = "first"
        self.renews = renews
        self.uses: list[Use] = []
        self.out = 0

    @asynccontextmanager
    async def lend(self, use: Use) -> AsyncIterator[Lent]:
        self._check()
        self.uses.append(use)
        self.out += 1
        try:
            yield Lent(
                connection_id=MAIN,
                connection=Connection(connection_id=MAIN, config=CONFIG),
                credential=SECRET,
                expires_at=T0 + timedelta(hours=1),
                generation=self.generation,
            )
        finally:
            self.out -= 1

    async def account(self, use: Use) -> Seen:
        self._check()
        assert use.purpose in ("preview", "call")
        return Seen(connection=Connection(connection_id=MAIN, config=CONFIG), generation=self.generation)

    async def refused(self, use: Use, lent: Lent) -> bool:
        assert (use.connection, lent.connection_id) == ("main", MAIN)
        return self.renews

    def _check(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)


class Ways:
    """The ways out that were asked for."""

    def __init__(self) -> None:
        self.asked: list[WayOut] = []

    def http(self, way: WayOut) -> Http:
        self.asked.append(way)
        return NoHttp()

    def addresses(self, way: WayOut) -> NoAddresses:
        assert way == WayOut(**{name: getattr(way, name) for name in WayOut.__struct_fields__})
        return NoAddresses()


class Shelf:
    """One connector of one tenant, in our process or not."""

    def __init__(self, manifest: Manifest, runs_here: bool = True) -> None:
        self._manifest = manifest
        self._checks = ToolCatalogue(facts_of(manifest, tool) for tool in manifest.tools)
        self._runs_here = runs_here

    async def fitted(self, tenant_id: TenantId, name: str, version: str) -> Fitted | None:
        assert version, "the version that was decided on"
        tool = self._manifest.by_name.get(name) if tenant_id == ALICE else None
        return Fitted(tool, self._checks, self._manifest, NOTHING, self._runs_here) if tool else None


def a_call(tool: str = "ledger.read_lines") -> OpenCall:
    request = requested(RUN, 1)
    fields: Plain = {name: getattr(request, name) for name in request.__struct_fields__}
    fields |= {"tool": tool, "arguments": {"text": "x"}, "connection": "main"}
    return OpenCall(request=type(request)(**fields), calls_by_tool={}, attempt=2)


def with_tool(auth: Auth | None = None, *scopes: str, **fields: Any) -> Manifest:
    made = a_tool("read_lines", *(scopes or (READ,)))
    changed = type(made)(**{**{name: getattr(made, name) for name in made.__struct_fields__}, **fields})
    plain = ledger(auth)
    return type(plain)(**{**{name: getattr(plain, name) for name in plain.__struct_fields__}, "tools": (changed,)})


class Bench:
    def __init__(self, manifest: Manifest, bank: Bank | None = None, runs_here: bool = True) -> None:
        self.bank = bank or Bank()
        self.ways = Ways()
        self.caller = Caller(Shelf(manifest, runs_here), Equipping(self.bank, self.ways, FREE), remembering())
        self.seen: list[Call] = []

    async def call(self) -> CallSucceeded | CallErred:
        return await self.caller.call(a_call(), HERE, lost_answer=False)


def looking(bench: list[Call], error: Exception | None = None) -> Any:
    async def run(arguments: Line, call: Call) -> Line:
        bench.append(call)
        if error is not None:
            raise error
        return arguments

    return run


async def test_a_tool_sees_the_account_and_its_requests_get_the_credential() -> None:
    seen: list[Call] = []
    bench = Bench(with_tool(run=looking(seen)))
    assert isinstance(await bench.call(), CallSucceeded)
    [given] = seen
    assert given.connection == Connection(connection_id=MAIN, config=CONFIG)
    [way] = bench.ways.asked
    assert (way.owner, way.egress, way.config) == (MAIN, ("{base_url}",), CONFIG)
    assert (way.credential, way.auth.kind, way.timeout_s) == (SECRET, AuthKind.OAUTH2, 5.0)
    [use] = bench.bank.uses
    assert (use.connector, use.connection, use.tool, use.scopes) == ("ledger", "main", "ledger.read_lines", (READ,))
    assert (use.tenant_id, use.workspace_id, use.environment_id, use.run_id) == (ALICE, DESK, LIVE, RUN.id)
    assert (use.call_id, use.attempt, use.purpose) == (CallId(a_call().request.call_id), 2, "call")
    assert bench.bank.out == 0


async def test_only_a_tool_of_our_own_process_that_asks_for_it_is_handed_the_credential() -> None:
    auth = Auth(kind=AuthKind.BASIC, handed_over=True)
    for runs_here, handed in ((True, SECRET), (False, None)):
        seen: list[Call] = []
        bench = Bench(with_tool(auth, run=looking(seen)), runs_here=runs_here)
        await bench.call()
        assert seen[0].connection is not None
        assert seen[0].connection.credential == handed
        assert bench.ways.asked[0].credential is None, "what it does itself is not done for it"


async def test_only_a_tool_of_our_own_process_has_the_object_store_and_that_of_its_place() -> None:
    for runs_here in (True, False):
        seen: list[Call] = []
        bench, stores = Bench(with_tool(run=looking(seen)), runs_here=runs_here), Stores()
        equipping = Equipping(bench.bank, bench.ways, FREE, stores)
        caller = Caller(Shelf(with_tool(run=looking(seen)), runs_here), equipping, remembering())
        await caller.call(a_call(), HERE, lost_answer=False)
        assert (seen[0].objects is stores.place) == runs_here
        assert set(stores.asked) == ({(ALICE, DESK, LIVE, "")} if runs_here else set())


class Stores:
    """One for everybody, which notes for whom."""

    def __init__(self) -> None:
        self.place = NoObjects()
        self.asked: list[tuple[str, ...]] = []

    def of(self, *place: str) -> NoObjects:
        self.asked.append(place)
        return self.place


async def test_a_connector_without_accounts_is_lent_nothing_and_reaches_what_it_declares() -> None:
    seen: list[Call] = []
    plain = with_tool(NO_AUTH, run=looking(seen))
    bare = Manifest(name="ledger", title="Ledger", version="1.0.0", tools=plain.tools, egress=("api.example",))
    bench = Bench(bare)
    await bench.call()
    assert (seen[0].connection, bench.bank.uses) == (None, [])
    [way] = bench.ways.asked
    assert (way.owner, way.egress, way.credential) == (ALICE, ("api.example",), None)


async def test_each_asking_has_a_way_out_of_its_own_and_one_loan() -> None:
    seen: list[Call] = []

    async def verify(arguments: Line, call: Call) -> Line | None:
        seen.append(call)
        return arguments

    bench = Bench(
        with_tool(
            None,
            READ,
            WRITE,
            run=looking(seen, TimeoutError()),
            verify=verify,
            effect=Effect.WRITE,
            writes=("ledger.entry",),
            idempotency=Idempotency.NONE,
        )
    )
    assert isinstance(await bench.call(), CallSucceeded)
    assert (len(seen), len(bench.ways.asked), len(bench.bank.uses)) == (2, 2, 1)


@pytest.mark.parametrize(
    ("refusal", "code", "connection_id", "scope"),
    [
        (errors.NeedsReconnect(MAIN, "it was revoked"), "reconnect_needed", MAIN, ""),
        (errors.ScopeMissing(MAIN, WRITE, "not granted"), "scope_missing", MAIN, WRITE),
        (errors.ConnectionNotFound("none"), "connection_not_found", "", ""),
        (errors.ConnectionAmbiguous("two"), "connection_ambiguous", "", ""),
        (errors.ConnectionMismatch("other"), "connection_mismatch", "", ""),
        (errors.SecretUnreadable("altered"), "secret_unreadable", "", ""),
    ],
)
async def test_without_access_nothing_is_called_and_the_outcome_says_what_is_missing(
    refusal: FairleadError, code: str, connection_id: str, scope: str
) -> None:
    seen: list[Call] = []
    outcome = await Bench(with_tool(run=looking(seen)), Bank(refusal)).call()
    assert isinstance(outcome, CallErred)
    assert (outcome.error_class, outcome.code) == ("permission", code)
    assert (outcome.connection_id, outcome.scope) == (connection_id, scope)
    assert (f"/v1/connections/{MAIN}/authorize" in outcome.message) == bool(connection_id)
    assert seen == []


async def test_what_cannot_be_known_now_is_asked_again_later() -> None:
    with pytest.raises(Unavailable):
        await Bench(with_tool(), Bank(Unavailable("the database"))).call()


async def test_a_credential_that_is_not_taken_is_renewed_or_a_person_is_needed() -> None:
    gone = NeedsReconnect("401")
    renewed = await Bench(with_tool(run=looking([], gone)), Bank(renews=True)).call()
    needed = await Bench(with_tool(run=looking([], gone)), Bank()).call()
    assert isinstance(renewed, CallErred)
    assert isinstance(needed, CallErred)
    assert (renewed.error_class, renewed.code, renewed.connection_id) == ("transient", "credential_renewed", "")
    assert (needed.error_class, needed.code, needed.connection_id) == ("permission", "reconnect_needed", MAIN)


async def test_reviewers_see_whose_account_it_is_also_where_a_tool_has_nothing_to_show() -> None:
    async def preview(arguments: Line, call: Call) -> dict[str, Any]:
        assert call.connection is not None
        return {"before": None, "after": arguments.text, "connection": "what the tool would like them to see"}

    account = {"connection_id": MAIN, "config": CONFIG}
    assert await Bench(with_tool()).caller.preview(a_call(), HERE) == {"connection": account}
    bench = Bench(with_tool(preview=preview))
    assert await bench.caller.preview(a_call(), HERE) == {"before": None, "after": "x", "connection": account}
    assert [use.purpose for use in bench.bank.uses] == ["preview"]
    with pytest.raises(NeedsReconnect):
        await Bench(with_tool(preview=preview), Bank(errors.NeedsReconnect(MAIN, "gone"))).caller.preview(
            a_call(), HERE
        )


async def test_the_loan_ends_however_the_call_ends() -> None:
    for error in (Refused("no"), ValueError("broke"), TimeoutError()):
        bench = Bench(with_tool(run=looking([], error)))
        await bench.call()
        assert (len(bench.bank.uses), bench.bank.out) == (1, 0)


# --- results that are used again --------------------------------------------------------------------------------------


async def looked(bench: Bench, call: OpenCall, meanwhile: str = "") -> Any:
    """What is known before the call; it is made in any case, and the account may be another one by then."""
    recall = await bench.caller.recall(call, HERE, Absent())
    bench.bank.generation = meanwhile or bench.bank.generation
    await bench.caller.call(call, HERE, lost_answer=False, recall=recall)
    return recall and recall.fresh


async def test_what_an_account_gave_is_given_again_until_anything_about_the_account_changes() -> None:
    bench = Bench(with_tool(cache_s=60))
    assert await looked(bench, a_call()) is None
    assert await looked(bench, a_call()) is not None
    bench.bank.generation = "second"
    assert await looked(bench, a_call()) is None
    assert await looked(bench, a_call(), meanwhile="third") is not None
    assert await looked(bench, a_call()) is None
    assert await looked(bench, a_call(), meanwhile="fourth") is not None
    bench.bank.generation = "fifth"
    assert await looked(bench, a_call(), meanwhile="sixth") is None
    assert await looked(bench, a_call()) is None, "it came from another account than was looked at"


async def test_nothing_is_given_again_of_an_account_that_was_revoked() -> None:
    bench = Bench(with_tool(cache_s=60))
    await looked(bench, a_call())
    bench.bank.refusals = [errors.NeedsReconnect(MAIN, "revoked")] * 2
    assert await bench.caller.recall(a_call(), HERE, Absent()) is None
    assert isinstance(await bench.call(), CallErred)
