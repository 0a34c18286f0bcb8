"""What a limit costs: questions to the engine, counted."""

from fairlead.adapters.throttle import LeasingThrottle, MemoryLedgers
from fairlead.adapters.throttle.ledgers import Page
from fairlead.domain.throttling import Limit
from fairlead.ports import Over, Passed


class CountedLedgers(MemoryLedgers):
    def __init__(self) -> None:
        super().__init__(lambda: 1_000.0)
        self.questions = 0

    async def read(self, key: str) -> Page:
        self.questions += 1
        return await super().read(key)

    async def write(self, key: str, body: bytes, revision: int) -> int | None:
        self.questions += 1
        return await super().write(key, body, revision)


async def entered(limit: Limit | None, calls: int) -> tuple[int, list[Passed | Over]]:
    ledgers = CountedLedgers()
    throttle = LeasingThrottle(ledgers, steady=lambda: 1_000.0)
    limits = [limit] if limit is not None else []
    made = [await throttle.enter(limits, "tnt_1") for _ in range(calls)]
    return ledgers.questions, made


async def test_where_there_is_no_limit_nobody_is_asked() -> None:
    assert (await entered(None, 100))[0] == 0


async def test_a_wide_limit_is_asked_once_for_many_calls() -> None:
    questions, made = await entered(Limit(key="k", calls_per_minute=60_000), 1_000)
    assert all(isinstance(each, Passed) for each in made)
    assert questions <= 16  # lots double up to 150


async def test_a_limit_that_is_used_up_is_not_asked_again_before_something_can_be_free() -> None:
    exhausted, _ = await entered(Limit(key="k", calls_per_minute=10), 11)
    asked_often, made = await entered(Limit(key="k", calls_per_minute=10), 500)
    assert asked_often == exhausted
    assert sum(isinstance(each, Passed) for each in made) == 10
