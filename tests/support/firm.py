"""A tenant at work: its people ask for things over HTTP, each under an idempotency key, until they are acknowledged.

A caller whose answer was lost asks again under the same key; now and then one asks again although it was answered.
Either way the same must come of it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import ApiKeyId, PrincipalId, WorkspaceId
from msgspec import Struct

from fairlead.adapters.api_keys import ApiKeys
from fairlead.app import Core
from fairlead.domain.approvals import ApprovalRequested
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CommandId, RunId, WorkflowId
from fairlead.domain.runs.events import QuestionAsked
from fairlead.domain.tenants import commands as t
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.workflow.validation import validate
from fairlead.domain.workflows import PublishWorkflow, workflow_id
from fairlead.handling.founding import KEY_LIFE, Founded, Founder
from fairlead.handling.handler import Cause

ASK_AGAIN_S = 0.2
ASKED_TWICE = 0.05  # of all that was acknowledged
REVIEWERS = 2
AT_ONCE = 32  # requests of one firm
_NOT_NOW = {"try_again", "unavailable", "switches_unknown", "position_not_reached"}


class Acknowledged(Struct, frozen=True):
    """What a caller was told has happened, and where on the log."""

    stream: StreamRef
    sequence: int


class Firm:
    """Made by `found`. `owner` and `reviewers` are clients with a key each."""

    def __init__(
        self,
        core: Core,
        founded: Founded,
        owner: httpx2.AsyncClient,
        reviewers: Sequence[tuple[PrincipalId, httpx2.AsyncClient]],
        chance: random.Random,
    ) -> None:
        self.core = core
        self.tenant_id = founded.tenant_id
        self.owner = owner
        self.reviewer_ids = [principal_id for principal_id, _ in reviewers]
        self.acknowledged: list[Acknowledged] = []
        self.workflow_id = WorkflowId("")
        self._founded = founded
        self._reviewers = [client for _, client in reviewers]
        self._chance = chance
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def publish(self, document: dict[str, Any]) -> None:
        core, name = self.core, document["name"]
        validate(document, core.connectors.catalogue, core.expressions)
        state = await _state(core, self.tenant_id)
        workspace_id: WorkspaceId = next(iter(state.workspaces))
        self.workflow_id = workflow_id(self.tenant_id, workspace_id, name)
        agent = t.CreateAgent(
            by=principal_of(state, self._founded.owner_id),
            principal_id=PrincipalId(core.ids.new("prn")),
            name=f"{name} agent",
            workflow_id=self.workflow_id,
            workspace_id=workspace_id,
            now=core.clock.now(),
        )
        published = PublishWorkflow(
            workspace_id=workspace_id,
            name=name,
            document=document,
            reason="for the test",
            agent_principal_id=agent.principal_id,
            tool_versions={},
        )
        await _do(core, StreamRef(self.tenant_id, "tenant", self.tenant_id), agent)
        await _do(core, StreamRef(self.tenant_id, "workflow", self.workflow_id), published)

    async def start(self, given: dict[str, Any]) -> RunId:
        wanted = {"workflow_id": self.workflow_id, "input": given}
        answer = await self._ask(self.owner, "/v1/runs", wanted, f"start {given['number']}")
        run_id = RunId(answer.json()["run_id"])
        self._note(self.run(run_id), answer)
        return run_id

    async def signal(self, run_id: str, name: str) -> None:
        wanted = {"signal_id": f"{run_id} {name}", "name": name, "payload": {"from": "test"}}
        answer = await self._ask(self.owner, f"/v1/runs/{run_id}/signals", wanted, f"signal {run_id} {name}")
        self._note(self.run(run_id), answer)

    async def answer(self, run_id: str, asked: QuestionAsked, said: Any) -> None:
        path = f"/v1/runs/{run_id}/questions/{asked.question_id}/answer"
        self._note(self.run(run_id), await self._ask(self.owner, path, {"answer": said}, f"answer {asked.question_id}"))

    async def sign(self, approval_id: str, requested: ApprovalRequested, signer: int) -> None:
        path, wanted = f"/v1/approvals/{approval_id}/approve", {"digest": requested.digest, "comment": "as ordered"}
        answer = await self._ask(self._reviewers[signer], path, wanted, f"sign {approval_id}")
        self._note(StreamRef(self.tenant_id, "approval", approval_id), answer)

    def run(self, run_id: str) -> StreamRef:
        return StreamRef(self.tenant_id, "run", run_id)

    async def _ask(self, client: httpx2.AsyncClient, path: str, body: Any, key: str) -> httpx2.Response:
        async with self._turns:
            answer = await answered(client, "POST", path, json=body, headers={"Idempotency-Key": key})
            assert answer.is_success, answer.text
            if self._chance.random() < ASKED_TWICE:
                again = await answered(client, "POST", path, json=body, headers={"Idempotency-Key": key})
                assert (again.status_code, _made(again)) == (answer.status_code, _made(answer))
        return answer

    def _note(self, stream: StreamRef, answer: httpx2.Response) -> None:
        self.acknowledged.append(Acknowledged(stream, int(answer.headers["Fairlead-Position"])))


@asynccontextmanager
async def found(core: Core, url: str, keys: ApiKeys, name: str, chance: random.Random) -> AsyncIterator[Firm]:
    """With an owner and two reviewers."""
    founder = Founder(core.handler, core.ids, core.clock)
    founded = await founder.found(name, f"owner@{name}.example", "Olga Owner")
    owner = _client(url, (await founder.issue_owner_key(founded, keys.new)).text)
    reviewers = [await _reviewer(core, url, keys, founded, f"reviewer{number}") for number in range(REVIEWERS)]
    try:
        yield Firm(core, founded, owner, reviewers, chance)
    finally:
        for client in (owner, *(client for _, client in reviewers)):
            await client.aclose()


async def answered(client: httpx2.AsyncClient, method: str, path: str, **rest: Any) -> httpx2.Response:
    """Ask until there is an answer that asking again would not change. Whoever waits for this has a deadline."""
    while True:
        try:
            answer = await client.request(method, path, **rest)
        except httpx2.TransportError:
            await asyncio.sleep(ASK_AGAIN_S)
            continue
        if answer.is_success or answer.json()["code"] not in _NOT_NOW:
            return answer
        await asyncio.sleep(ASK_AGAIN_S)


def _made(answer: httpx2.Response) -> Any:
    """What the request was about. How that stands now may differ, where the first answer could not be kept."""
    said = answer.json()
    return said.get("run_id"), said.get("approval_id")


async def _reviewer(
    core: Core, url: str, keys: ApiKeys, founded: Founded, name: str
) -> tuple[PrincipalId, httpx2.AsyncClient]:
    state = await _state(core, founded.tenant_id)
    by, now = principal_of(state, founded.owner_id), core.clock.now()
    principal_id = PrincipalId(core.ids.new("prn"))
    stream = StreamRef(founded.tenant_id, "tenant", founded.tenant_id)
    email = f"{name}@{founded.tenant_id[-8:]}.example"
    await _do(core, stream, t.AddPerson(by=by, principal_id=principal_id, email=email, display_name=name, now=now))
    await _do(core, stream, t.GrantRole(by=by, principal_id=principal_id, grant=Grant(Role.REVIEWER), now=now))
    made = keys.new("live", founded.tenant_id)
    issue = t.IssueKey(
        by=principal_of(await _state(core, founded.tenant_id), principal_id),
        key_id=ApiKeyId(core.ids.new("key")),
        principal_id=principal_id,
        name=name,
        hash=made.hash,
        last_four=made.last_four,
        environment_id=founded.live_environment_id,
        expires_at=now + KEY_LIFE,
        now=now,
    )
    await _do(core, stream, issue)
    return principal_id, _client(url, made.text)


async def _state(core: Core, tenant_id: str) -> Tenant:
    state = (await core.handler.load(StreamRef(tenant_id, "tenant", tenant_id))).state  # type: ignore[arg-type]
    assert isinstance(state, Tenant)
    return state


async def _do(core: Core, stream: StreamRef, command: Any) -> None:
    await core.handler.handle(stream, command, Cause(actor=SYSTEM, command_id=CommandId(core.ids.new("cmd"))))


def _client(url: str, key: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
        verify=False,  # nothing is signed, and reading whom to trust takes a fifth of a second
        timeout=httpx2.Timeout(15, pool=None),
    )
