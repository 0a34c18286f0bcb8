"""A read that was made a moment ago is not made again where its tool allows that, and the timeline says so."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.errors import Refused, TryLater

from fairlead.adapters.memory_results import MemoryResults
from fairlead.domain import breakers as b
from fairlead.domain.envelope import StreamRef
from fairlead.domain.results import AnyKey, Found, KeptResult
from fairlead.domain.runs.events import FromCache, ToolCallCompleted
from fairlead.domain.tenants.commands import DisableConnector, UseConnector
from tests.support.books import Books
from tests.support.documents import Plain
from tests.support.platform import PAYING, Platform, ended
from tests.support.tenancy import BY_OWNER, LIVE, TENANT

LOOKING = {"id": "look", "call": "bills.look", "with": {"number": "4711", "amount": 5}}
CACHE_S = 60


class Overheard(MemoryResults):
    def __init__(self) -> None:
        super().__init__()
        self.questions: list[AnyKey] = []
        self.kept: list[KeptResult] = []

    async def find(self, key: AnyKey) -> Found:
        self.questions.append(key)
        return await super().find(key)

    def keep(self, key: AnyKey, epoch: str, kept: KeptResult) -> None:
        self.kept.append(kept)
        super().keep(key, epoch, kept)


class Asked(Platform):
    """A tool that looks and one that pays, in a workflow whose input says which."""

    def __init__(self, seen: Books, paid: Books, looking: Plain = LOOKING, paying: Plain = PAYING, **look: Any) -> None:
        looks = seen.reading(name="bills.look", **{"cache_s": CACHE_S, **look})
        which = {"id": "which", "if": "${ input.pay }", "then": [paying], "else": [looking]}
        self.overheard = Overheard()
        super().__init__(looks, paid.keyed(), results=self.overheard, steps=[which])

    async def run(self, pay: bool = False) -> list[Any]:
        """What a run that has ended has on record."""
        run = await self.start({"pay": pay})
        await self.until(run, ended)
        return await self.history(run)

    async def look(self) -> ToolCallCompleted:
        (completed,) = [event for event in await self.run() if isinstance(event, ToolCallCompleted)]
        return completed


async def test_a_second_run_is_given_what_the_first_saw_and_says_how_old_it_is_and_what_it_saved() -> None:
    seen = Books()
    async with Asked(seen, Books(), cost_usd_micros=1_500).at_work() as platform:
        first = await platform.look()
        assert first.cached is None
        began = platform.clock.now()
        platform.clock.forward(timedelta(seconds=CACHE_S - 1))
        again = await platform.look()
    assert again.cached == FromCache(
        at=began, age_ms=59_000, saved_us=again.cached.saved_us if again.cached else -1, saved_usd_micros=1_500
    )
    assert again.cached.saved_us > 0
    assert (again.output, again.output_sha256, again.latency_us) == (first.output, first.output_sha256, 0)
    assert len(seen.requests) == 1


async def test_it_is_asked_again_once_it_is_too_old_and_the_newer_answer_counts_from_then() -> None:
    seen = Books()
    async with Asked(seen, Books()).at_work() as platform:
        for _ in range(2):
            await platform.look()
            platform.clock.forward(timedelta(seconds=CACHE_S))
        assert (await platform.look()).cached is None
        assert (await platform.look()).cached is not None
    assert len(seen.requests) == 3


async def test_other_arguments_are_another_question() -> None:
    seen = Books()
    looking = LOOKING | {"with": {"number": "${ input.number }", "amount": 5}}
    async with Asked(seen, Books(), looking=looking).at_work() as platform:
        for number in ("1", "2", "1"):
            run = await platform.start({"pay": False, "number": number})
            await platform.until(run, ended)
    assert len(seen.requests) == 2


async def test_after_a_write_of_the_same_connector_it_is_asked_again() -> None:
    seen, paid = Books(), Books()
    async with Asked(seen, paid).at_work() as platform:
        for _ in range(2):
            await platform.look()
        await platform.run(pay=True)
        assert (await platform.look()).cached is None
        assert (await platform.look()).cached is not None
    assert (len(seen.requests), paid.total) == (2, 1)


@pytest.mark.parametrize(("error", "asked"), [(Refused("no"), 1), (TryLater("not sure"), 1), (OSError("?"), 2)])
async def test_a_write_that_was_refused_changes_nothing_and_one_without_an_answer_may_have(
    error: Exception, asked: int
) -> None:
    seen, paid = Books(), Books()

    async def fails(_: Any) -> None:
        raise error

    paid.during = fails
    once = PAYING | {"retry": {"attempts": 1}}
    async with Asked(seen, paid, paying=once).at_work() as platform:
        await platform.look()
        await platform.run(pay=True)
        await platform.look()
    assert len(seen.requests) == asked


async def test_a_read_while_a_write_is_under_way_is_not_kept() -> None:
    """It may have seen what was there before."""
    seen, paid = Books(), Books()
    async with Asked(seen, paid).at_work() as platform:

        async def somebody_writes(_: Any) -> None:
            seen.during = None
            await platform.run(pay=True)

        seen.during = somebody_writes
        await platform.look()
        assert (await platform.look()).cached is None
    assert len(seen.requests) == 2


async def test_what_was_seen_before_a_connector_was_switched_off_is_not_given_after() -> None:
    seen = Books()
    async with Asked(seen, Books()).at_work() as platform:
        await platform.look()
        now = platform.clock.now()
        await platform.tell_tenant(DisableConnector(by=BY_OWNER, connector="bills", reason="leak", now=now))
        await platform.tell_tenant(UseConnector(by=BY_OWNER, connector="bills", major=1, now=now))
        assert (await platform.look()).cached is None
    assert len(seen.requests) == 2


async def test_a_secret_in_an_answer_is_not_in_the_cache() -> None:
    seen = Books()
    seen.answer = {"number": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "amount": 5}
    async with Asked(seen, Books()).at_work() as platform:
        outputs = [(await platform.look()).output for _ in range(2)]
    assert outputs[0] == outputs[1]
    assert "redacted" in platform.overheard.kept[0].output["number"]
    assert "eyJhbGci" not in repr(platform.overheard.kept)


async def test_reads_that_say_nothing_and_writes_cost_no_question() -> None:
    seen, paid = Books(), Books()
    async with Asked(seen, paid, cache_s=0).at_work() as platform:
        await platform.look()
        await platform.look()
        await platform.run(pay=True)
    assert len(seen.requests) == 2
    assert platform.overheard.questions == []


async def test_during_an_outage_a_step_that_takes_it_is_given_the_last_result_with_its_age() -> None:
    seen = Books()
    looking = LOOKING | {"on_outage": "cached"}
    async with Asked(seen, Books(), looking=looking, cache_s=0).at_work() as platform:
        assert (await platform.look()).cached is None
        assert (await platform.look()).cached is None, "while there are answers, they are asked for"
        platform.clock.forward(timedelta(hours=1))
        await _outage(platform)
        given = await platform.look()
        assert given.cached is not None
        assert given.cached.age_ms == 3_600_000
    assert len(seen.requests) == 2


async def _outage(platform: Platform) -> None:
    breaker = StreamRef(TENANT, "breaker", b.breaker_id(LIVE, "bills", None))
    tripped = b.TripBreaker(
        environment_id=LIVE,
        connector="bills",
        connection_id=None,
        failures=5,
        calls=5,
        error_class="timeout",
        code="timeout",
        now=platform.clock.now(),
    )
    await platform.handle(breaker, tripped)
