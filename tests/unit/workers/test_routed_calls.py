"""What a tenant's route makes of the calls of its runs: fallback, escalation, and answers that are given again."""

from typing import Any

from fairlead_tenants.ids import PrincipalId

from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CommandId
from fairlead.domain.models.failures import ModelFailed
from fairlead.domain.routing import residency
from fairlead.domain.routing import routes as r
from fairlead.domain.runs import events as e
from fairlead.handling.handler import Cause
from fairlead.handling.tenant_routes import FRESH_FOR
from tests.support.asked_models import DEAR, FIRST, SECOND, Scripted, Thinkers, capped, spent
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.platform import Platform, ended, running
from tests.support.routing import candidate, document
from tests.support.tenancy import TENANT
from tests.support.thinking import SUM, said

BROKEN = ModelFailed("transient", "http_503", "the provider answered 503")
CHEAP = candidate("small", provider=FIRST, model="m", abilities=["structured"])
BIG = candidate("big", provider=DEAR, model="m", tier=1, abilities=["structured"])
ROUTE = r.route_stream(TENANT, "cheap")


class Office:
    """A workflow with one step that asks by the tenant's route, and one process that carries it out."""

    def __init__(self, *script: Any, **model: Any) -> None:
        step = {"id": "ask", "model": {"route": "cheap", "prompt": "What is the policy?", **model}}
        self.platform = Platform(Books().keyed(), steps=[step], tools=[], writes=[])
        self.thinkers = Thinkers(self.platform, Scripted(*script), "w1")

    async def do(self, stream: StreamRef, command: Any) -> None:
        cause = Cause(actor=SYSTEM, command_id=CommandId(self.platform.ids.new("cmd")))
        await self.platform.main.handler.handle(stream, command, cause)
        self.platform.clock.forward(FRESH_FOR)

    async def publish(self, *candidates: dict[str, Any], **fields: Any) -> None:
        command = r.PublishRoute(name="cheap", document=document(*candidates, **fields), reason="Because.", now=T0)
        await self.do(ROUTE, command)

    async def run(self) -> tuple[Any, list[Any]]:
        """The state of one more run that has ended, and its facts."""
        run = await self.platform.start()
        async with running(self.thinkers.worker().run(), self.thinkers.gates.run()):
            state = await self.platform.until(run, ended)
        await self.thinkers.recalling.written()
        history = await self.platform.log.read(StreamRef(TENANT, "run", state.last.run_id))
        return state, [event for recorded in history for event in recorded.commit.events]


def of(kind: type[Any], history: list[Any]) -> list[Any]:
    return [fact for fact in history if isinstance(fact, kind)]


async def test_an_outage_shifts_to_the_fallback_and_the_timeline_says_so() -> None:
    office = Office(BROKEN, said("42"))
    await office.platform.prepare()
    await office.publish(CHEAP, candidate("spare", provider=SECOND, model="m", weight=0))
    state, history = await office.run()
    assert state.outcome == "completed"
    first, second = of(e.ModelCallRouted, history)
    assert (first.candidate, second.candidate, second.route_version) == ("small", "spare", 1)
    assert e.Reason(code="fallback", value=1, unit="calls", word="transient") in second.why
    assert [(each.candidate, each.because.code) for each in second.passed_over] == [("small", "already_tried")]


async def test_an_answer_that_does_not_fit_goes_up_to_the_dear_model_and_no_further() -> None:
    office = Office(said("three"), said('{"sum": 3}'), answer=SUM)
    await office.platform.prepare()
    await office.publish(CHEAP, BIG, escalation={"max_steps": 1})
    state, history = await office.run()
    assert state.outcome == "completed"
    assert [each.candidate for each in of(e.ModelCallRouted, history)] == ["small", "big"]
    assert "escalated_schema_failure" in [reason.code for reason in of(e.ModelCallRouted, history)[1].why]


async def test_an_answer_that_is_not_sure_enough_is_paid_for_and_goes_up_while_somebody_is_above() -> None:
    sure = {"properties": {"sum": {"type": "integer"}, "sure": {"type": "number"}}, "type": "object"}
    rules = {"on": ["low_confidence"], "confidence_at": "/sure", "min_confidence": 0.7}
    office = Office(said('{"sum": 3, "sure": 0.2}'), said('{"sum": 4, "sure": 0.1}'), answer=sure)
    await office.platform.prepare()
    await office.publish(CHEAP, BIG, escalation=rules)
    state, history = await office.run()
    (failed,), (completed,) = of(e.ModelCallAttemptFailed, history), of(e.ModelCallCompleted, history)
    assert (failed.code, failed.candidate, failed.charged_usd_micros) == ("low_confidence", "small", 5)
    assert "escalated_low_confidence" in [reason.code for reason in of(e.ModelCallRouted, history)[1].why]
    assert (state.outcome, completed.provider, state.last.cost_usd_micros) == ("completed", DEAR, 55)


async def test_what_was_answered_is_given_again_for_nothing_until_it_is_forgotten() -> None:
    office = Office(said("30 days"))
    await office.platform.prepare()
    await capped(office.platform, 1_000_000)
    await office.publish(CHEAP, cache={"exact": {"ttl_s": 600}})
    _, first = await office.run()
    before = await spent(office.platform)
    state, history = await office.run()
    assert len(office.thinkers.models.asked) == 1
    (routed,), (given,) = of(e.ModelCallRouted, history), of(e.ModelCallCompleted, history)
    (paid,) = of(e.ModelCallCompleted, first)
    assert (given.cached, given.cost_usd_micros, given.saved_usd_micros) == ("exact", 0, paid.cost_usd_micros)
    assert (given.provider, given.model, routed.reserved_usd_micros) == (FIRST, paid.model, 0)
    assert "answered_before" in [reason.code for reason in routed.why]
    assert (state.last.cost_usd_micros, state.last.tokens_used, await spent(office.platform)) == (0, 0, before)
    await office.do(ROUTE, r.ForgetAnswers(reason="It changed."))
    _, history = await office.run()
    assert [each.cached for each in of(e.ModelCallCompleted, history)] == [""]
    assert len(office.thinkers.models.asked) == 2


async def test_where_no_region_may_see_it_nothing_is_sent() -> None:
    office = Office(said("42"))
    await office.platform.prepare()
    await office.publish(CHEAP | {"regions": ["us"]})
    only_here = residency.ChangeResidency(
        regions=("eu",), providers=None, reason="The law.", by=PrincipalId("prn_a"), now=T0
    )
    await office.do(residency.residency_stream(TENANT), only_here)
    state, history = await office.run()
    (refused,) = of(e.ModelCallRefused, history)
    assert (refused.by, refused.code, state.outcome) == ("residency", "region_not_allowed", "failed")
    assert office.thinkers.models.asked == []
