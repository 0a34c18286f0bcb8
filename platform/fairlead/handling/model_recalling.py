"""Looks for an answer that was kept before a call goes out, where its route says so, and keeps what it is given.

What is given again is on the run's history like any other answer, and has cost nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from msgspec.structs import replace

from fairlead.domain.models.answer import Delta, ModelAnswer, Usage
from fairlead.domain.models.assembling import pieces
from fairlead.domain.models.failures import Window
from fairlead.domain.money import UsdMicros
from fairlead.domain.prices import Priced, Rates
from fairlead.domain.routing.asking import Choice, Reason
from fairlead.handling.answer_cache import AnswerCache, Hit, Question, Recalled
from fairlead.handling.model_asking import Asking
from fairlead.handling.model_router import Taken
from fairlead.handling.tenant_routes import TenantRoutes

FREE = "kept"  # the version of prices where nobody is asked
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Recalling:
    """One for each process."""

    def __init__(self, cache: AnswerCache, routes: TenantRoutes) -> None:
        self._cache = cache
        self._routes = routes
        self._keeping: set[asyncio.Task[None]] = set()

    async def recall(self, asking: Asking) -> Recalled | None:
        """Before the first attempt of a call by a route. None where nothing is kept. Raises Unavailable."""
        name, start = asking.requested.route, asking.state.start
        if not name or asking.requested.candidates or asking.attempt > 1:
            return None
        route = await self._routes.route(asking.run.tenant_id, name)
        if route is None:
            return None
        question = Question(
            tenant_id=asking.run.tenant_id,
            workspace_id=start.workspace_id,
            environment_id=start.environment_id,
            route=route,
            request=asking.request,
            subject=start.data_subject,
        )
        return await self._cache.recall(question)

    def keep(self, recalled: Recalled, taken: Taken, answer: ModelAnswer, cost_usd_micros: int, took_us: int) -> None:
        """Does not wait."""
        choice = taken.choice
        keeping = self._cache.keep(recalled, answer, choice.provider, choice.model, cost_usd_micros, took_us)
        task = asyncio.ensure_future(keeping)
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def written(self) -> None:
        """What is being kept is, for whoever looks for it next."""
        await asyncio.gather(*self._keeping)


class GivenAgain:
    """Implements `ports.Answering`."""

    def __init__(self, answer: ModelAnswer) -> None:
        self.windows: tuple[Window, ...] = ()
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[Delta]:
        for delta in pieces(self._answer):
            yield delta


def answer_of(hit: Hit) -> ModelAnswer:
    """Nothing was used for it."""
    return replace(hit.answer, usage=Usage())


def taken_of(recalled: Recalled, hit: Hit, attempt: int) -> Taken:
    """No place is taken, and nobody is asked."""
    route = recalled.question.route
    rates = Rates(provider=hit.provider, model=hit.model, valid_from=_LONG_AGO, input=0, output=0)
    why = (
        Reason(code="route_version", value=route.version, unit="version"),
        Reason(code="answered_before", value=hit.likeness_percent, unit="percent", word=hit.how),
        Reason(code="age", value=round(hit.age_s), unit="s"),
        Reason(code="saves", value=hit.saved_usd_micros, unit="usd_micros"),
    )
    choice = Choice(
        route=route.name,
        route_version=route.version,
        candidate="",
        provider=hit.provider,
        model=hit.model,
        connection=None,
        region="",
        tier=0,
        attempt=attempt,
        priced=Priced(version=FREE, rates=rates),
        max_output_tokens=0,
        reserve_usd_micros=UsdMicros(0),
        why=why,
        passed_over=(),
        cache=route.document.cache,
        max_attempts=route.document.fallback.max_attempts,
    )
    return Taken(choice, None)
