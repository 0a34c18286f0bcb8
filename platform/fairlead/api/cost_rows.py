"""What calls of models and tools have cost, added up by whatever is asked for. A charge counts when it was made."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict

from fairlead.api.commit_pages import Read, Within
from fairlead.domain.instant import Instant
from fairlead.ports import SqlTx

PAGE = 500
By = Literal["tenant", "workflow", "run", "call", "route", "provider", "model", "tool", "principal", "agent", "day"]

_COUNTED = """
WITH charged AS (
    SELECT CASE %(by)s::text
           WHEN 'workflow' THEN b.workflow_id WHEN 'run' THEN c.run_id WHEN 'call' THEN c.call_id
           WHEN 'route' THEN coalesce(u.route, '') WHEN 'provider' THEN c.provider
           WHEN 'model' THEN CASE WHEN c.model = '' THEN '' ELSE c.provider || '/' || c.model END
           WHEN 'tool' THEN coalesce(t.tool, '') WHEN 'principal' THEN b.started_by
           WHEN 'agent' THEN b.agent_principal_id
           WHEN 'day' THEN to_char(c.at AT TIME ZONE %(zone)s, 'YYYY-MM-DD')
           ELSE '' END COLLATE "C" AS key,
           CASE %(by)s::text
           WHEN 'workflow' THEN b.workflow_name WHEN 'run' THEN b.workflow_name
           WHEN 'call' THEN coalesce(t.tool, c.model) ELSE '' END AS name,
           c.*
      FROM usage_charges AS c
      JOIN run_board AS b ON b.tenant_id = c.tenant_id AND b.run_id = c.run_id
      LEFT JOIN usage_calls AS u ON c.kind = 'model' AND u.tenant_id = c.tenant_id AND u.call_id = c.call_id
      LEFT JOIN tool_calls AS t ON c.kind = 'tool' AND t.tenant_id = c.tenant_id AND t.call_id = c.call_id
     WHERE c.at >= %(begin)s AND c.at < %(end)s
       AND (%(workflow)s::text IS NULL OR b.workflow_name = %(workflow)s)
       AND (%(run_id)s::text IS NULL OR c.run_id = %(run_id)s)
       AND (%(workspaces)s::text[] IS NULL OR b.workspace_id = ANY (%(workspaces)s))
       AND (%(environment)s::text IS NULL OR b.environment_id = %(environment)s)
)
SELECT key, max(name) AS name, count(DISTINCT run_id) AS runs,
       count(DISTINCT call_id) FILTER (WHERE kind = 'model' AND outcome IN ('completed', 'failed')) AS model_calls,
       count(*) FILTER (WHERE kind = 'model' AND outcome = 'failed') AS failed_attempts,
       count(*) FILTER (WHERE cached <> '') AS cached_answers,
       count(*) FILTER (WHERE outcome = 'refused') AS refused_calls,
       sum(input_tokens)::bigint AS input_tokens, sum(cached_input_tokens)::bigint AS cached_input_tokens,
       sum(cache_write_tokens)::bigint AS cache_write_tokens, sum(output_tokens)::bigint AS output_tokens,
       sum(reasoning_tokens)::bigint AS reasoning_tokens, sum(unsplit_tokens)::bigint AS unsplit_tokens,
       coalesce(sum(cost_usd_micros) FILTER (WHERE kind = 'model'), 0)::bigint AS model_cost_usd_micros,
       coalesce(sum(cost_usd_micros) FILTER (WHERE kind = 'tool'), 0)::bigint AS tool_cost_usd_micros,
       sum(cost_usd_micros)::bigint AS cost_usd_micros, sum(saved_usd_micros)::bigint AS saved_usd_micros
  FROM charged
 WHERE key > %(after)s OR %(after)s::text IS NULL
 GROUP BY key
 ORDER BY key
 LIMIT %(limit)s
"""


class Cost(Struct, frozen=True, kw_only=True):
    """`key` is what is added up by, and empty for what has none: a tool has no model. A call that was tried again
    counts once, each of its attempts costs. `unsplit_tokens` are those of which no provider said the kind."""

    key: str
    name: Annotated[str, Meta(description="Of the workflow, the tool or the model, where that is another.")]
    runs: int
    model_calls: int
    failed_attempts: int
    cached_answers: int
    refused_calls: Annotated[int, Meta(description="Of models, and of tools by a budget.")]
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    unsplit_tokens: int
    model_cost_usd_micros: int
    tool_cost_usd_micros: int
    cost_usd_micros: int
    saved_usd_micros: Annotated[int, Meta(description="What answers out of a cache would have cost.")]


class CostSpan(Struct, frozen=True, kw_only=True):
    """By when a charge was made; `end` is exclusive. Days begin at midnight in `zone`."""

    within: Within
    begin: Instant
    end: Instant
    by: By
    zone: str = "UTC"
    workflow: str | None = None
    run_id: str | None = None


async def costs(tx: SqlTx, span: CostSpan, after: str | None, limit: int) -> list[Cost]:
    said = {name: value for name, value in asdict(span).items() if name != "within"}
    params = said | span.within.as_params() | {"after": after, "limit": limit}
    return await tx.rows(_COUNTED, params, Cost)


async def pages(read: Read, span: CostSpan) -> AsyncIterator[list[Cost]]:
    """All of it, a transaction a page."""
    place: str | None = None
    while True:
        async with read() as tx:
            found = await costs(tx, span, place, PAGE)
        if found:
            yield found
        if len(found) < PAGE:
            return
        place = found[-1].key
