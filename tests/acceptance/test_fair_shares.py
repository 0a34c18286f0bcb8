"""A tenant that floods the workers with orders, and one that has a single call now and then."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead import app
from fairlead.domain.envelope import Sequence
from fairlead.domain.runs.events import RunCompleted, ToolCallCompleted
from fairlead.ports import Followed
from tests.support.at_work import at_work
from tests.support.commits import readable
from tests.support.documents import Plain, document
from tests.support.stack import PLUGINS, connector_variables, running_stack
from tests.support.witness import whole

FLOOD_RUNS, RUN_CALLS = 10, 60  # of which fifty are owed at once
QUIET_RUNS = 3
WITHIN_S = 120.0
MOST_BETWEEN = 250  # calls of the flood while a quiet one waits: two workers have 112 of its 500 orders in hand
ECHO: Plain = {"id": "echo", "call": "basics.echo", "with": {"text": "x"}}
REST: Plain = {"tools": ["basics.echo"], "writes": [], "limits": {"tool_calls": 200, "steps": 400}}


async def test_a_flood_does_not_delay_the_calls_of_another_tenant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PLUGINS)
    items = f"${{ [{', '.join('1' * RUN_CALLS)}] }}"
    many: Plain = {"id": "all", "each": {"in": items, "max_items": RUN_CALLS, "concurrency": 50, "steps": [ECHO]}}
    roles = {"worker-1": ["worker"], "worker-2": ["worker"]}
    async with (
        asyncio.timeout(WITHIN_S),
        running_stack(tmp_path, roles) as stack,
        app.core(stack.settings, connector_variables(stack.counterpart.url), "test") as core,
    ):
        flood, quiet = (
            await at_work(core, "flood", document(many, **REST)),
            await at_work(core, "quiet", document(ECHO, **REST)),
        )
        await quiet.start()
        async with core.log.follow(Sequence(0), ("run",)) as batches:
            commits = aiter(batches)
            await _ended(commits, quiet.tenant_id)
            for _ in range(FLOOD_RUNS):
                await flood.start()
            for _ in range(QUIET_RUNS):
                await quiet.start()
                await _ended(commits, quiet.tenant_id)
        recorded = await whole(core.log)
    between, made = 0, list[int]()
    for commit in (each.commit for each in recorded if each.commit.kind == "run"):
        calls = sum(isinstance(event, ToolCallCompleted) for event in commit.events)
        if commit.tenant_id == flood.tenant_id:
            between += calls
        elif commit.first_version == 1:
            between = 0
        elif calls:
            made.append(between)
    assert len(made) == 1 + QUIET_RUNS
    assert max(made) <= MOST_BETWEEN, made
    done = sum(isinstance(event, ToolCallCompleted) for each in recorded for event in each.commit.events)
    assert done < FLOOD_RUNS * RUN_CALLS, "the flood was not over"


async def _ended(commits: AsyncIterator[list[Followed]], tenant_id: str) -> None:
    """A run of the tenant has completed since."""
    async for batch in commits:
        for recorded in readable(batch):
            if recorded.commit.tenant_id == tenant_id and any(
                isinstance(event, RunCompleted) for event in recorded.commit.events
            ):
                return
