"""Workflows for tests of the API: published for a customer, with an agent of their own, and run by a worker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fairlead_tenants.ids import PrincipalId, WorkspaceId

from fairlead import app
from fairlead.domain.catalogue import EVENTS
from fairlead.domain.envelope import SYSTEM, Kind, StreamRef
from fairlead.domain.ids import CommandId, WorkflowId
from fairlead.domain.tenants.commands import CreateAgent
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.workflow.validation import validate
from fairlead.domain.workflows import PublishWorkflow, workflow_id
from fairlead.handling.handler import Cause
from tests.support.api import Customer, Served, running
from tests.support.documents import Plain, document

ECHO = "basics.echo"
Json = dict[str, Any]
LONG_S = 30.0
ALL_BUT_LOOKING: list[Kind] = [kind for kind in EVENTS if kind != "access"]


def echo(step_id: str, text: str = "hello") -> Plain:
    return {"id": step_id, "call": ECHO, "with": {"text": text}}


def asking_people(count: int = 1, deadline_s: int = 3600) -> Json:
    """A policy under which each call needs signatures."""
    approvals = {"count": count, "roles": ["reviewer"], "deadline_s": deadline_s}
    rule = {"id": "sign", "tools": [ECHO], "verdict": "require_approval", "reason": "test", "approvals": approvals}
    return {"policy": {"rules": [rule]}}


async def publish(customer: Customer, *steps: Plain, name: str = "echoes", **fields: Any) -> WorkflowId:
    core, workspace_id = customer.served.core, WorkspaceId(await customer.workspace_id())
    plain = document(*steps, **{"name": name, "tools": [ECHO], "writes": [], **fields})
    validate(plain, core.connectors.catalogue, core.expressions)
    found, agent = workflow_id(customer.tenant_id, workspace_id, name), PrincipalId(core.ids.new("prn"))
    by = principal_of(await customer.state(), customer.owner_id)
    await customer.do(
        CreateAgent(
            principal_id=agent, name=name, workflow_id=found, workspace_id=workspace_id, by=by, now=core.clock.now()
        )
    )
    published = PublishWorkflow(
        workspace_id=workspace_id,
        name=name,
        document=plain,
        reason="for a test",
        agent_principal_id=agent,
        tool_versions={},
    )
    stream = StreamRef(customer.tenant_id, "workflow", found)
    await core.handler.handle(stream, published, Cause(actor=SYSTEM, command_id=CommandId(core.ids.new("cmd"))))
    return found


async def started(client: httpx2.AsyncClient, workflow: WorkflowId, **fields: Any) -> str:
    answer = await client.post("/v1/runs", json={"workflow_id": workflow, "input": {}, **fields})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


@asynccontextmanager
async def at_work(served: Served) -> AsyncIterator[None]:
    """A worker carries out calls meanwhile."""
    async with running(app.calls(served.core)):
        yield


async def until(customer: Customer, path: str, holds: Callable[[Any], bool]) -> Any:
    """What the owner is shown there, as soon as it is as wanted. Looks again whenever something happens."""
    log = customer.served.core.log
    reached = await log.last_sequence()
    async with asyncio.timeout(LONG_S), customer.owner as client, log.follow(reached, ALL_BUT_LOOKING) as batches:
        async for batch in batches:
            reached = batch[-1].sequence if batch else reached
            shown = await client.get(path, headers={"Fairlead-Position": str(reached)})
            if shown.status_code == 200 and holds(shown.json()):
                return shown.json()
    raise AssertionError("a log is followed without end")


async def up_to_now(customer: Customer) -> dict[str, str]:
    """Headers of a request that sees all there is: read models and the ledger follow the log."""
    return {"Fairlead-Position": str(await customer.served.core.log.last_sequence())}


async def until_status(customer: Customer, run_id: str, status: str) -> Any:
    return await until(customer, f"/v1/runs/{run_id}", lambda run: run["status"] == status)


async def the_approval(customer: Customer, run_id: str) -> Any:
    """The one that the run waits for, once people can see it."""
    run = await until_status(customer, run_id, "waiting_for_approval")
    approval_id = run["awaited"]["approvals"][0]["approval_id"]
    return await until(customer, f"/v1/approvals/{approval_id}", lambda approval: approval["status"] == "pending")
