"""A candidate that is being rolled out gets more calls while it keeps to its gates, and none once it does not."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from fairlead.domain.envelope import SYSTEM
from fairlead.domain.ids import CommandId
from fairlead.domain.routing import routes as r
from fairlead.domain.routing.document import Bounds, Rollout
from fairlead.domain.routing.rollouts import next_move
from fairlead.domain.routing.standing import Figures
from fairlead.handling.handler import Cause
from fairlead.handling.model_standings import ModelKey, ModelStandings
from fairlead.workers.rollout_keeper import RolloutKeeper
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.platform import Platform, running
from tests.support.routing import candidate, document
from tests.support.tenancy import TENANT

GATES = Bounds(max_failure_percent=10, min_quality_percent=90, least_calls=20)
ROLLOUT = Rollout(stages=(5, 50, 100), stage_s=600, gates=GATES)
STREAM = r.route_stream(TENANT, "cheap")
NEW = ModelKey(TENANT, "acme", "new-1")


def figures(**fields: Any) -> Figures:
    return Figures(**{"calls": 20, "failures": 2, "checked": 20, "right": 18} | fields)


@pytest.mark.parametrize(
    ("share", "after_s", "known", "then"),
    [
        (5, 600, figures(), 50),
        (50, 600, figures(), 100),
        (100, 600, figures(), None),
        (5, 599, figures(), None),
        (5, 600, figures(calls=19), None),
        (5, 600, figures(checked=19), None),
        (5, 0, figures(failures=3), 0),
        (100, 0, figures(right=17), 0),
        (0, 600, figures(), None),
    ],
)
def test_a_share_grows_after_its_time_and_falls_at_once(
    share: int, after_s: int, known: Figures, then: int | None
) -> None:
    found = next_move(ROLLOUT, share, T0, known, T0 + timedelta(seconds=after_s))
    assert (found.share if found else None) == then


async def test_two_who_look_after_rollouts_move_each_once_and_say_why() -> None:
    platform = Platform(Books().keyed())
    standings = ModelStandings(platform.steady)
    keepers = [
        RolloutKeeper(platform.log, platform.main.handler, standings, platform.clock, platform.ids) for _ in range(2)
    ]
    rollout = {"stages": [5, 100], "stage_s": 600, "gates": {"max_failure_percent": 10}}
    published = r.PublishRoute(
        name="cheap",
        document=document(candidate("old"), candidate("new", rollout=rollout)),
        reason="Try.",
        now=platform.clock.now(),
    )
    cause = Cause(actor=SYSTEM, command_id=CommandId(platform.ids.new("cmd")))
    await platform.main.handler.handle(STREAM, published, cause)

    async def moved(*expected: tuple[int, str]) -> None:
        async with asyncio.timeout(5):
            while (found := [*await _moves(platform)]) != [*expected]:
                assert len(found) <= len(expected)
                for keeper in keepers:
                    await keeper.look()
                await asyncio.sleep(0)

    async with running(*(keeper.run() for keeper in keepers)):
        for _ in range(20):
            standings.answered(NEW, 10)
        platform.clock.forward(timedelta(seconds=600))
        await moved((100, "kept_to_gates"))
        for _ in range(3):
            standings.failed(NEW)
        platform.clock.forward(timedelta(seconds=60))
        await moved((100, "kept_to_gates"), (0, "fails_often"))


async def _moves(platform: Platform) -> list[tuple[int, str]]:
    found = await platform.history(STREAM)
    return [(fact.share, fact.code) for fact in found if isinstance(fact, r.RolloutMoved)]
