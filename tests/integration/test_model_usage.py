"""What the reports of money say is what the log says, to the micro, however often a fact comes."""

from datetime import timedelta
from typing import Any, get_args

from fairlead_tenants.ids import PrincipalId
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.postgres import Database
from fairlead.api import cost_rows, success_rows
from fairlead.api.commit_pages import Within
from fairlead.api.cost_rows import By, CostSpan
from fairlead.api.model_metrics import model_figures
from fairlead.api.success_rows import EndedSpan
from fairlead.consumers import model_usage, run_board
from fairlead.domain import approvals as a
from fairlead.domain.envelope import StreamRef
from fairlead.domain.price_lists import EMPTY, OutcomePrice, PriceList, ReviewPrice
from fairlead.domain.runs import events as e
from tests.support.clock import T0
from tests.support.database import columns
from tests.support.histories import (
    ANN,
    CODEC,
    Writer,
    a_run,
    approval_of,
    call_of,
    completed,
    dispatched,
    requested,
    started,
)
from tests.support.spending import answered, asked, attempt_failed, model_call_of, spent_in
from tests.unit.test_alerts import RULES

ALICE = "tnt_alice"
EVERYWHERE = Within(workspaces=None, environment=None)
SPAN = CostSpan(within=EVERYWHERE, begin=T0, end=T0 + timedelta(days=1), by="tenant")
ENDED = EndedSpan(within=EVERYWHERE, begin=T0, end=T0 + timedelta(days=1), prices=EMPTY)
_CHARGES = "SELECT * FROM usage_charges ORDER BY run_id, stream_version"
_SPENT_HOUR = """
INSERT INTO model_hours (hour, route, provider, cost_usd_micros)
VALUES (%(hour)s, 'jumps', 'p', %(dear)s), (%(hour)s, 'usual', 'p', 2000000), (%(hour)s, 'cents', 'p', %(dear)s / 1000)
"""
_METERS = "SELECT route, provider, meter, value FROM model_meters ORDER BY 1, 2, 3"


def bought(run: StreamRef) -> list[tuple[Any, ...]]:
    """A run that asks two models, one of them twice, pays for two tools and completes."""
    unclear = e.ToolCallFailed(
        call_id=call_of(run, 2),
        attempt=1,
        error_class="timeout",
        code="timeout",
        message="?",
        latency_us=1,
        worker="w",
        unclear=True,
        charged_usd_micros=70,
    )
    return [
        (started(run), asked(run, 1), asked(run, 2, "draft"), requested(run, 1), *dispatched(run, 1)),
        (attempt_failed(run, 1, 1_001),),
        (answered(run, 1, 2_003, attempt=2, provider="other", model="m-small"),),
        (answered(run, 2, 0, cached="exact", saved_usd_micros=5, usage=None),),
        (replace(completed(run, 1), cost_usd_micros=50), requested(run, 2), *dispatched(run, 2)),
        (unclear, e.RunCompleted(output={})),
    ]


async def folded(database: Database, log: MemoryLog, *streams: StreamRef, whole: bool = False) -> None:
    """Commit by commit, or all of each in one batch."""
    for stream in streams:
        found = await log.read(stream)
        async with database.tenant(stream.tenant_id) as tx:
            for batch in [found] if whole else [[each] for each in found]:
                if stream.kind == "run":
                    await run_board.project(batch, tx)
                await model_usage.project(batch, tx)


async def facts(log: MemoryLog, run: StreamRef) -> list[Any]:
    return [event for recorded in await log.read(run) for event in recorded.commit.events]


async def test_sums_agree_with_the_log_to_the_micro_by_whatever_they_are_added_up(engine_database: Database) -> None:
    log = MemoryLog(CODEC)
    writer = Writer(log)
    runs = [a_run(ALICE, number) for number in (1, 2, 3)]
    for run in runs:
        await writer.write(run, *bought(run))
    await folded(engine_database, log, runs[0])
    await folded(engine_database, log, runs[1], runs[2], whole=True)
    truth = sum([spent_in(await facts(log, run)) for run in runs])
    assert truth == 3 * (1_001 + 2_003 + 50 + 70)
    async with engine_database.tenant(ALICE) as tx:
        for by in get_args(By):
            found = await cost_rows.costs(tx, replace(SPAN, by=by), None, 100)
            assert sum(row.cost_usd_micros for row in found) == truth, by
        (all_of_it,) = await cost_rows.costs(tx, SPAN, None, 100)
        assert (all_of_it.runs, all_of_it.model_calls, all_of_it.failed_attempts) == (3, 6, 3)
        assert (all_of_it.tool_cost_usd_micros, all_of_it.cached_answers, all_of_it.saved_usd_micros) == (360, 3, 15)
        assert (all_of_it.input_tokens, all_of_it.unsplit_tokens) == (300, 4_500)
        models = await cost_rows.costs(tx, replace(SPAN, by="model"), None, 100)
        assert [(row.key, row.cost_usd_micros) for row in models] == [
            ("", 360),
            ("anthropic/m-large", 3_003),
            ("other/m-small", 6_009),
        ]
        calls = await cost_rows.costs(tx, replace(SPAN, by="call", run_id=runs[0].id), None, 100)
        assert {row.key: row.cost_usd_micros for row in calls}[call_of(runs[0], 1)] == 50
        pages = [await cost_rows.costs(tx, replace(SPAN, by="run"), after, 1) for after in (None, runs[0].id)]
        assert [row.key for (row,) in pages] == [runs[0].id, runs[1].id]
        for other in (
            replace(SPAN, begin=SPAN.end, end=SPAN.end + timedelta(1)),
            replace(SPAN, workflow="x"),
            replace(SPAN, within=Within(workspaces=(), environment=None)),
        ):
            assert await cost_rows.costs(tx, other, None, 100) == []


async def test_a_fact_that_comes_again_is_not_counted_again_and_what_expires_goes(engine_database: Database) -> None:
    log = MemoryLog(CODEC)
    run = a_run("tnt_again", 7)
    await Writer(log).write(run, *bought(run))
    await folded(engine_database, log, run)
    async with engine_database.tenant(run.tenant_id) as tx:
        charges, meters = await tx.rows(_CHARGES, None, columns), await tx.rows(_METERS, None, columns)
    await folded(engine_database, log, run, whole=True)
    async with engine_database.tenant(run.tenant_id) as tx:
        assert await tx.rows(_CHARGES, None, columns) == charges
        assert await tx.rows(_METERS, None, columns) == meters
    expired = e.RunContentExpired(
        expiry_id="exp_1",
        run_id=started(run).run_id,
        workspace_id=started(run).workspace_id,
        environment_id=started(run).environment_id,
        workflow_id=started(run).workflow_id,
        ended_at=T0,
        commits=1,
        events=1,
        last_sequence=1,
        last_leaf="0",
    )
    again = MemoryLog(CODEC)
    await Writer(again).append(run, expired)
    async with engine_database.tenant(run.tenant_id) as tx:
        await model_usage.project(await again.read(run), tx)
        assert await tx.rows(_CHARGES, None, columns) == []


async def test_a_read_that_nobody_was_asked_for_costs_nothing_and_says_what_it_saved(engine_database: Database) -> None:
    log = MemoryLog(CODEC)
    run = a_run("tnt_kept", 9)
    kept = replace(completed(run, 1), cached=e.FromCache(at=T0, age_ms=5, saved_us=1, saved_usd_micros=21))
    await Writer(log).write(run, (started(run), requested(run, 1), *dispatched(run, 1)), (kept,))
    await folded(engine_database, log, run)
    async with engine_database.tenant(run.tenant_id) as tx:
        (row,) = await cost_rows.costs(tx, replace(SPAN, by="tool"), None, 10)
    assert (row.key, row.cost_usd_micros, row.saved_usd_micros) == ("notes.append_line", 0, 21)


async def test_meters_show_each_route_at_each_provider_and_nobody_s_name(engine_database: Database) -> None:
    log = MemoryLog(CODEC)
    run = a_run("tnt_metered", 8)
    code = "budget_tenant_usd_micros"
    refused = e.ModelCallRefused(call_id=model_call_of(run, 3), by="budget", code=code, reason="no")
    asks = asked(run, 3, "metered")
    await Writer(log).write(run, (started(run), asks), (refused,), (asked(run, 4, "metered"),), (answered(run, 4, 6),))
    await folded(engine_database, log, run)
    shown = CollectorRegistry()
    shown.register(await model_figures(engine_database, T0))
    labels = {"route": "metered", "provider": "anthropic"}
    assert shown.get_sample_value("fairlead_model_cost_usd_micros_total", labels) == 6
    assert shown.get_sample_value("fairlead_model_calls_total", labels | {"outcome": "completed"}) == 1
    assert shown.get_sample_value("fairlead_model_tokens_total", labels | {"kind": "output"}) == 30
    assert shown.get_sample_value("fairlead_budget_refusals_total", {"code": code}) == 1
    for name, below, above in (("answer", "0.5", "1.0"), ("first_token", "0.05", "0.1")):
        bucket = f"fairlead_model_{name}_seconds_bucket"
        assert shown.get_sample_value(bucket, labels | {"le": below}) == 0
        assert shown.get_sample_value(bucket, labels | {"le": above}) == 1
    assert "tnt_" not in generate_latest(shown).decode()


async def test_costs_that_jump_pass_the_threshold_of_their_alert_and_usual_ones_do_not(
    engine_database: Database,
) -> None:
    now = T0 + timedelta(days=100, minutes=10)
    async with engine_database.platform() as tx:
        for hour in range(72):
            began = T0 + timedelta(days=100) - timedelta(hours=hour)
            await tx.run(_SPENT_HOUR, {"hour": began, "dear": 30_000_000 if hour < 2 else 2_000_000})
    shown = CollectorRegistry()
    shown.register(await model_figures(engine_database, now))
    of = {
        route: shown.get_sample_value("fairlead_model_cost_jump", {"route": route, "provider": "p"})
        for route in ("jumps", "usual", "cents")
    }
    (rule,) = (each for each in RULES if each["alert"] == "FairleadCostJump")
    threshold = float(rule["expr"].rpartition(">")[2])
    assert {route for route, jump in of.items() if jump is not None and jump > threshold} == {"jumps"}
    early = await model_figures(engine_database, T0 + timedelta(days=98))
    jumps = [family for family in early.collect() if family.name == "fairlead_model_cost_jump"]
    assert not any(family.samples for family in jumps), "a day has to be known"


async def test_a_success_pays_for_failures_and_for_the_people_who_decided(engine_database: Database) -> None:
    log = MemoryLog(CODEC)
    writer = Writer(log)
    tenant = "tnt_success"
    good, failed, drifted = (a_run(tenant, number) for number in (1, 2, 3))
    await writer.write(good, *bought(good))
    await writer.write(failed, (started(failed), asked(failed, 1)), (answered(failed, 1, 400),))
    await writer.append(failed, e.RunFailed(code="x", message="x"))
    wrote = (replace(completed(drifted, 1), verifying=True),)
    otherwise = e.ToolCallVerified(call_id=call_of(drifted, 1), verdict="drifted", latency_us=1, worker="w1")
    await writer.write(drifted, (started(drifted), requested(drifted, 1), *dispatched(drifted, 1)), wrote)
    await writer.append(drifted, otherwise, e.RunCompleted(output={}))
    reviewed = StreamRef(good.tenant_id, "approval", approval_of(good, 3))
    unclaimed = StreamRef(good.tenant_id, "approval", approval_of(good, 4))
    claim = a.ApprovalClaimed(claimed_by=ANN.id, until=T0 + timedelta(hours=1))
    signed = a.ApprovalSigned(signed_by=ANN.id, comment="", missing=0)
    await writer.write(reviewed, (claim,), (signed,))
    await writer.append(unclaimed, replace(signed, signed_by=PrincipalId("prn_rita")))
    await folded(engine_database, log, good, failed, drifted, reviewed, unclaimed)
    await folded(engine_database, log, good, reviewed, whole=True)
    review = ReviewPrice(minute_usd_micros=600_000, minutes=2)
    prices = PriceList(
        fairlead_prices=1,
        review=review,
        outcomes=(
            OutcomePrice(workflow="pay", valid_from=T0, usd_micros=1_000),
            OutcomePrice(workflow="pay", valid_from=T0, usd_micros=9_000_000, account="ap"),
        ),
    )
    calls = spent_in(await facts(log, good)) + spent_in(await facts(log, failed))
    people = 10_000 + 1_200_000  # a second that was claimed, and the two minutes of one that was not
    async with engine_database.tenant(tenant) as tx:
        (row,) = await success_rows.success_costs(tx, replace(ENDED, prices=prices), success_rows.START, 10)
        (paid,) = await success_rows.margins(tx, replace(ENDED, prices=prices), success_rows.START, 10)
        labelled = replace(ENDED, prices=replace(prices, account_label="team"))
        (ours,) = await success_rows.margins(tx, labelled, success_rows.START, 10)
        (free,) = await success_rows.margins(tx, ENDED, success_rows.START, 10)
    assert (row.runs, row.completed_runs, row.successful_runs, row.reviews) == (3, 2, 1, 2)
    assert (row.call_cost_usd_micros, row.review_cost_usd_micros) == (calls, people)
    assert row.cost_per_success_usd_micros == calls + people
    assert (row.previous_cost_per_success_usd_micros, row.change, row.is_regression) == (None, None, False)
    assert (paid.revenue_usd_micros, paid.margin_usd_micros, paid.is_negative) == (1_000, 1_000 - calls - people, True)
    assert (ours.account, ours.revenue_usd_micros, ours.is_negative) == ("ap", 9_000_000, False)
    assert (free.is_priced, free.revenue_usd_micros, free.margin_share) == (False, 0, None)


async def test_a_success_that_costs_over_a_fifth_more_than_before_is_flagged(engine_database: Database) -> None:
    tenant = "tnt_week"
    for workflow, before, now in (("same", 1_000, 1_200), ("dearer", 1_000, 1_201)):
        for number, cost in ((1, before), (2, now)):
            log = MemoryLog(CODEC)
            run = a_run(tenant, number + (10 if workflow == "same" else 20))
            began = replace(started(run), workflow_id=f"wfl_{workflow}", workflow_name=workflow)
            writer = Writer(log)
            if number == 2:
                for _ in range(30):  # the writer's clock goes on by a second for each commit
                    await writer.append(a_run("tnt_nobody", 99), asked(run, 9))
            await writer.write(run, (began, asked(run, 1)), (answered(run, 1, cost), e.RunCompleted(output={})))
            await folded(engine_database, log, run)
    span = replace(ENDED, begin=T0 + timedelta(seconds=20), end=T0 + timedelta(seconds=40))
    async with engine_database.tenant(tenant) as tx:
        found = await success_rows.success_costs(tx, span, success_rows.START, 10)
    said = {row.workflow_name: (row.change, row.is_regression) for row in found}
    assert said == {"same": (0.2, False), "dearer": (0.201, True)}
