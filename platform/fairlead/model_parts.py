"""What chooses models in a process that asks any, whatever its role."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from fairlead.adapters.models import FileRecordings, NoRecordings, RecordedModels, WireModels
from fairlead.core import Core
from fairlead.handling.answer_cache import AnswerCache
from fairlead.handling.budget_desk import BudgetDesk
from fairlead.handling.model_attempts import ModelAttempts
from fairlead.handling.model_desk import ModelDesk
from fairlead.handling.model_door import ModelDoor
from fairlead.handling.model_hearing import ModelHearing
from fairlead.handling.model_hosts import ModelHosts
from fairlead.handling.model_recalling import Recalling
from fairlead.handling.model_router import ModelRouter
from fairlead.handling.model_standings import ModelStandings
from fairlead.handling.model_ways import ModelWays
from fairlead.ports import Credentials
from fairlead.workers.breaker_board import BreakerBoard
from fairlead.workers.gates import Gates, LimitsOf
from fairlead.workers.model_gates import ModelGates, ToldLimits

KEPT_ALIVE_S = 3.0  # places of a process that says nothing for longer than a lease go to others


class ModelSide(NamedTuple):
    """What the API has of models."""

    router: ModelRouter
    door: ModelDoor


@asynccontextmanager
async def model_router(core: Core, worker_id: str, limits_of: LimitsOf) -> AsyncIterator[ModelRouter]:
    """One for each process. It follows the log for as long as it is open."""
    told = ToldLimits(limits_of)
    gates = Gates(
        worker_id=worker_id,
        board=BreakerBoard(core.log, core.handler, core.clock),
        throttle=core.throttle,
        handler=core.handler,
        clock=core.clock,
        ids=core.ids,
        limits_of=told,
    )
    standings = ModelStandings()
    hearing = ModelHearing(core.copies, standings, core.clock)
    router = ModelRouter(
        core.routes,
        core.tools,
        core.prices,
        ModelHosts(core.log, core.clock),
        standings,
        ModelGates(gates, told),
    )
    following = [asyncio.create_task(each) for each in (gates.run(), _kept_alive(gates), hearing.run())]
    try:
        yield router
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def answer_cache(core: Core) -> AnswerCache:
    return AnswerCache(core.results, core.content_keys, core.clock)


def model_attempts(
    core: Core, worker_id: str, router: ModelRouter, credentials: Credentials, budgets: BudgetDesk
) -> ModelAttempts:
    """The one way to models of a process."""
    folder = core.settings.model_recordings
    return ModelAttempts(
        handler=core.handler,
        router=router,
        ways=ModelWays(credentials, core.tools),
        models=WireModels(core.outbound, core.clock),
        recorded=RecordedModels(FileRecordings(folder) if folder is not None else NoRecordings()),
        budgets=budgets,
        brake=core.brake,
        clock=core.clock,
        ids=core.ids,
        worker=worker_id,
        recalling=Recalling(answer_cache(core), core.routes),
    )


def model_desk(core: Core, attempts: ModelAttempts) -> ModelDesk:
    """For doors."""
    return ModelDesk(
        log=core.log, handler=core.handler, dispatch=core.dispatch, rulebook=core.rulebook, attempts=attempts
    )


@asynccontextmanager
async def model_door(
    core: Core, worker_id: str, limits_of: LimitsOf, credentials: Credentials
) -> AsyncIterator[ModelSide]:
    """For a process whose doors ask models. What callers have left is settled before it ends."""
    budgets = BudgetDesk(core.budgets, core.clock, core.ids)
    async with model_router(core, worker_id, limits_of) as router:
        desk = model_desk(core, model_attempts(core, worker_id, router, credentials, budgets))
        try:
            yield ModelSide(router, desk)
        finally:
            await desk.written()
            await budgets.written()


async def _kept_alive(gates: Gates) -> None:
    while True:
        await asyncio.sleep(KEPT_ALIVE_S)
        await gates.keep()
