"""What runs that have succeeded have cost, with those that have not and with the people who decided; and what is left.

A run has succeeded when it was completed, whatever it wrote and was read back was found as written, nothing of it was
undone, and nobody has reported it.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from fairlead.api.commit_pages import Read, Within
from fairlead.domain.ids import WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.price_lists import PriceList
from fairlead.ports import SqlTx

PAGE = 200
REGRESSION = 0.2  # of the cost of a success, from one span to the next
MINUTE_US = 60_000_000

_COUNTED = """
WITH ended AS (
    SELECT tenant_id, run_id, workflow_id, workflow_name, outcome, compensation, ended_at,
           CASE WHEN %(by_account)s THEN coalesce(labels ->> %(label)s, '') ELSE '' END AS account
      FROM run_board
     WHERE ended_at >= %(begin)s AND ended_at < %(end)s
       AND (%(workflow)s::text IS NULL OR workflow_name = %(workflow)s)
       AND (%(only)s::text[] IS NULL OR workflow_id = ANY (%(only)s))
       AND (%(workspaces)s::text[] IS NULL OR workspace_id = ANY (%(workspaces)s))
       AND (%(environment)s::text IS NULL OR environment_id = %(environment)s)
), spent AS (
    SELECT c.run_id, sum(c.cost_usd_micros) AS cost
      FROM ended AS e JOIN usage_charges AS c ON c.tenant_id = e.tenant_id AND c.run_id = e.run_id
     GROUP BY c.run_id
), reviewed AS (
    SELECT u.run_id, sum(u.claimed + u.unclaimed) AS reviews,
           sum(least(u.worked_us, u.claimed * %(most_us)s::bigint) + u.unclaimed * %(most_us)s::bigint) AS worked_us
      FROM ended AS e JOIN usage_reviews AS u ON u.tenant_id = e.tenant_id AND u.run_id = e.run_id
     GROUP BY u.run_id
), read_back AS (
    SELECT t.run_id, bool_and(t.read_back = 'matched') AS as_written
      FROM ended AS e JOIN tool_calls AS t ON t.tenant_id = e.tenant_id AND t.run_id = e.run_id
     WHERE t.read_back IS NOT NULL
     GROUP BY t.run_id
), judged AS (
    SELECT e.*, coalesce(s.cost, 0) AS cost, coalesce(r.reviews, 0) AS reviews, coalesce(r.worked_us, 0) AS worked_us,
           ceil(coalesce(r.worked_us, 0) * %(minute_usd_micros)s::numeric / 60000000) AS review_cost,
           e.outcome = 'completed' AND coalesce(b.as_written, true) AND e.compensation IS DISTINCT FROM 'done'
               AND e.compensation IS DISTINCT FROM 'incomplete'
               AND NOT EXISTS (SELECT FROM cases AS c WHERE c.tenant_id = e.tenant_id AND c.run_id = e.run_id)
               AS succeeded,
           coalesce(b.as_written, false) AS verified
      FROM ended AS e
      LEFT JOIN spent AS s USING (run_id)
      LEFT JOIN reviewed AS r USING (run_id)
      LEFT JOIN read_back AS b USING (run_id)
), paid AS (
    SELECT j.*, p.usd_micros AS price
      FROM judged AS j
      LEFT JOIN LATERAL (
           SELECT o.usd_micros
             FROM json_to_recordset(%(outcomes)s) AS o (
                  workflow text, account text, valid_from timestamptz, usd_micros bigint)
            WHERE o.workflow = j.workflow_name AND coalesce(o.account, '') IN ('', j.account)
              AND o.valid_from <= j.ended_at
            ORDER BY coalesce(o.account, '') <> '' DESC, o.valid_from DESC
            LIMIT 1) AS p ON true
)
SELECT workflow_id, max(workflow_name) AS workflow_name, account, count(*) AS runs,
       count(*) FILTER (WHERE outcome = 'completed') AS completed_runs,
       count(*) FILTER (WHERE succeeded) AS successful_runs,
       count(*) FILTER (WHERE succeeded AND verified) AS verified_runs, sum(reviews)::bigint AS reviews,
       sum(worked_us)::bigint AS worked_us, sum(cost)::bigint AS call_cost_usd_micros,
       sum(review_cost)::bigint AS review_cost_usd_micros,
       coalesce(sum(price) FILTER (WHERE succeeded), 0)::bigint AS revenue_usd_micros,
       bool_or(price IS NOT NULL) AS priced
  FROM paid
 WHERE (workflow_id, account) > (%(after_id)s, %(after_account)s)
 GROUP BY workflow_id, account
 ORDER BY workflow_id, account
 LIMIT %(limit)s
"""

Ratio = Annotated[float | None, Meta(description="Null where there is nothing to compare with.")]


class SuccessCost(Struct, frozen=True, kw_only=True):
    """Of the runs of one workflow that have ended in the span: what they have cost, whether or not they succeeded, with
    the people who decided, for each run that did. `previous_…` is the span of the same length before."""

    workflow_id: WorkflowId
    workflow_name: str
    runs: int
    completed_runs: int
    successful_runs: int
    verified_runs: Annotated[int, Meta(description="Successful, and something that they wrote was read back.")]
    reviews: int
    review_minutes: float
    call_cost_usd_micros: int
    review_cost_usd_micros: int
    cost_usd_micros: int
    cost_per_success_usd_micros: int | None
    previous_runs: int
    previous_cost_usd_micros: int
    previous_cost_per_success_usd_micros: int | None
    change: Annotated[Ratio, Meta(description="Of the cost of a success: 0.25 is a quarter more.")]
    is_regression: Annotated[bool, Meta(description="A success costs over a fifth more than in the span before.")]


class Margin(Struct, frozen=True, kw_only=True):
    """What runs have brought in by the tenant's price of an outcome, and what is left of it."""

    workflow_id: WorkflowId
    workflow_name: str
    account: Annotated[str, Meta(description="By the label that the prices name; empty without.")]
    runs: int
    successful_runs: int
    is_priced: Annotated[bool, Meta(description="The prices name one for its outcomes.")]
    revenue_usd_micros: int
    call_cost_usd_micros: int
    review_cost_usd_micros: int
    margin_usd_micros: int
    margin_share: Annotated[float | None, Meta(description="Of the revenue.")]
    is_negative: bool


class EndedSpan(Struct, frozen=True, kw_only=True):
    """By when runs have ended; `end` is exclusive."""

    within: Within
    begin: Instant
    end: Instant
    prices: PriceList
    workflow: str | None = None

    @property
    def before(self) -> "EndedSpan":
        length: timedelta = self.end - self.begin
        return msgspec.structs.replace(self, begin=self.begin - length, end=self.begin)


Place = tuple[str, str]
START: Place = ("", "")


class _Row(Struct, frozen=True, kw_only=True):
    workflow_id: WorkflowId
    workflow_name: str
    account: str
    runs: int
    completed_runs: int
    successful_runs: int
    verified_runs: int
    reviews: int
    worked_us: int
    call_cost_usd_micros: int
    review_cost_usd_micros: int
    revenue_usd_micros: int
    priced: bool

    @property
    def cost(self) -> int:
        return self.call_cost_usd_micros + self.review_cost_usd_micros

    @property
    def per_success(self) -> int | None:
        """Rounded up."""
        return -(-self.cost // self.successful_runs) if self.successful_runs else None


async def success_costs(tx: SqlTx, span: EndedSpan, after: Place, limit: int) -> list[SuccessCost]:
    found = await _rows(tx, span, after, limit)
    before = await _rows(tx, span.before, START, limit, [row.workflow_id for row in found]) if found else []
    earlier = {row.workflow_id: row for row in before}
    return [_compared(row, earlier.get(row.workflow_id)) for row in found]


async def margins(tx: SqlTx, span: EndedSpan, after: Place, limit: int) -> list[Margin]:
    return [_margin(row) for row in await _rows(tx, span, after, limit, by_account=True)]


async def success_pages(read: Read, span: EndedSpan) -> AsyncIterator[list[SuccessCost]]:
    place = START
    while True:
        async with read() as tx:
            found = await success_costs(tx, span, place, PAGE)
        if found:
            yield found
        if len(found) < PAGE:
            return
        place = (found[-1].workflow_id, "")


async def margin_pages(read: Read, span: EndedSpan) -> AsyncIterator[list[Margin]]:
    place = START
    while True:
        async with read() as tx:
            found = await margins(tx, span, place, PAGE)
        if found:
            yield found
        if len(found) < PAGE:
            return
        place = (found[-1].workflow_id, found[-1].account)


async def _rows(
    tx: SqlTx,
    span: EndedSpan,
    after: Place,
    limit: int,
    only: Sequence[str] | None = None,
    *,
    by_account: bool = False,
) -> list[_Row]:
    prices = span.prices
    params: dict[str, Any] = {
        "begin": span.begin,
        "end": span.end,
        "workflow": span.workflow,
        "only": None if only is None else list(only),
        "by_account": by_account and bool(prices.account_label),
        "label": prices.account_label,
        "most_us": prices.review.minutes * MINUTE_US,
        "minute_usd_micros": prices.review.minute_usd_micros,
        "outcomes": msgspec.json.encode(prices.outcomes).decode(),
        "after_id": after[0],
        "after_account": after[1],
        "limit": limit,
    }
    return await tx.rows(_COUNTED, params | span.within.as_params(), _Row)


def _compared(row: _Row, before: _Row | None) -> SuccessCost:
    now, then = row.per_success, before.per_success if before else None
    change = None if now is None or not then else round(now / then - 1, 4)
    return SuccessCost(
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        runs=row.runs,
        completed_runs=row.completed_runs,
        successful_runs=row.successful_runs,
        verified_runs=row.verified_runs,
        reviews=row.reviews,
        review_minutes=round(row.worked_us / MINUTE_US, 2),
        call_cost_usd_micros=row.call_cost_usd_micros,
        review_cost_usd_micros=row.review_cost_usd_micros,
        cost_usd_micros=row.cost,
        cost_per_success_usd_micros=now,
        previous_runs=before.runs if before else 0,
        previous_cost_usd_micros=before.cost if before else 0,
        previous_cost_per_success_usd_micros=then,
        change=change,
        is_regression=now is not None and then is not None and now > then * (1 + REGRESSION),
    )


def _margin(row: _Row) -> Margin:
    left = row.revenue_usd_micros - row.cost
    return Margin(
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        account=row.account,
        runs=row.runs,
        successful_runs=row.successful_runs,
        is_priced=row.priced,
        revenue_usd_micros=row.revenue_usd_micros,
        call_cost_usd_micros=row.call_cost_usd_micros,
        review_cost_usd_micros=row.review_cost_usd_micros,
        margin_usd_micros=left,
        margin_share=round(left / row.revenue_usd_micros, 4) if row.revenue_usd_micros else None,
        is_negative=left < 0,
    )
