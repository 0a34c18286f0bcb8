"""A tenant at work: its people, its workflow, and everything they ask of the platform, asked until it is acknowledged.

A caller whose answer was lost asks again under the same id, as one with an idempotency key does; now and then one asks
again although it was answered. Either way the same must come of it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fairlead_tenants.access import Grant, Principal, Role
from fairlead_tenants.ids import EnvironmentId, PrincipalId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.app import Core
from fairlead.domain.approvals import ApprovalRequested, SignApproval
from fairlead.domain.envelope import SYSTEM, Actor, StreamRef
from fairlead.domain.errors import StreamMoved, Unavailable
from fairlead.domain.ids import CommandId, RunId, WorkflowId
from fairlead.domain.runs.commands import AnswerQuestion, SendSignal
from fairlead.domain.runs.events import QuestionAsked
from fairlead.domain.tenants import commands as t
from fairlead.domain.tenants.identity import actor_of, principal_of
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.workflow.validation import validate
from fairlead.domain.workflows import PublishWorkflow, workflow_id
from fairlead.handling.handler import Cause, Handled
from fairlead.handling.starting import Asked

T = TypeVar("T")

ASK_AGAIN_S = 0.1
ASKED_TWICE = 0.05  # of all that was acknowledged


class Acknowledged(Struct, frozen=True):
    """What a caller was told has happened, and where on the log."""

    stream: StreamRef
    command_id: str
    sequence: int


class Firm:
    """Made by `found`."""

    def __init__(self, core: Core, name: str, chance: random.Random) -> None:
        self.name = name
        self.acknowledged: list[Acknowledged] = []
        self._core = core
        self._chance = chance
        new = core.ids.new
        self.tenant_id = TenantId(new("tnt"))
        self.workspace_id = WorkspaceId(new("wsp"))
        self.environment_id = EnvironmentId(new("env"))
        self.owner_id = PrincipalId(new("prn"))
        self.reviewer_ids = (PrincipalId(new("prn")), PrincipalId(new("prn")))
        self.owner: Principal
        self.workflow_id = WorkflowId("")

    @classmethod
    async def found(cls, core: Core, name: str, chance: random.Random) -> "Firm":
        """With an owner and two reviewers."""
        self = cls(core, name, chance)
        now = core.clock.now()
        create = t.CreateTenant(
            tenant_id=self.tenant_id,
            name=name,
            owner_id=self.owner_id,
            owner_email=f"owner@{name}.example",
            owner_display_name="Olga Owner",
            workspace_id=self.workspace_id,
            live_environment_id=self.environment_id,
            test_environment_id=EnvironmentId(core.ids.new("env")),
            now=now,
        )
        founded = await self._do(self._tenant, create, SYSTEM, core.ids.new("cmd"))
        self.owner = self._principal(founded, self.owner_id)
        for number, reviewer_id in enumerate(self.reviewer_ids):
            email = f"reviewer{number}@{name}.example"
            person = t.AddPerson(
                by=self.owner, principal_id=reviewer_id, email=email, display_name=email, now=core.clock.now()
            )
            grant = t.GrantRole(
                by=self.owner, principal_id=reviewer_id, grant=Grant(Role.REVIEWER), now=core.clock.now()
            )
            for command in (person, grant):
                await self._do(self._tenant, command, actor_of(self.owner), core.ids.new("cmd"))
        return self

    async def publish(self, document: dict[str, Any]) -> None:
        core, name = self._core, document["name"]
        validate(document, core.connectors.catalogue, core.expressions)
        self.workflow_id = workflow_id(self.tenant_id, self.workspace_id, name)
        agent_id = PrincipalId(core.ids.new("prn"))
        agent = t.CreateAgent(
            by=self.owner,
            principal_id=agent_id,
            name=f"{name} agent",
            workflow_id=self.workflow_id,
            workspace_id=self.workspace_id,
            now=core.clock.now(),
        )
        await self._do(self._tenant, agent, actor_of(self.owner), core.ids.new("cmd"))
        published = PublishWorkflow(
            workspace_id=self.workspace_id,
            name=name,
            document=document,
            reason="for the test",
            agent_principal_id=agent_id,
            tool_versions={},
        )
        stream = StreamRef(self.tenant_id, "workflow", self.workflow_id)
        await self._do(stream, published, actor_of(self.owner), core.ids.new("cmd"))

    async def start(self, given: dict[str, Any]) -> RunId:
        run_id = RunId(self._core.ids.new("run"))
        asked = Asked(run_id=run_id, workflow_id=self.workflow_id, input=given, environment_id=self.environment_id)
        command = await until_answered(lambda: self._core.starter.start(self.owner, asked))
        await self._do(self.run(run_id), command, actor_of(self.owner), f"cmd_start.{run_id}")
        return run_id

    async def signal(self, run_id: str, name: str) -> None:
        signal_id = f"sig.{run_id}.{name}"
        command = SendSignal(signal_id=signal_id, name=name, payload={"from": "test"}, now=self._core.clock.now())
        await self._do(self.run(run_id), command, actor_of(self.owner), f"cmd_{signal_id}")

    async def answer(self, run_id: str, asked: QuestionAsked, answer: Any) -> None:
        command = AnswerQuestion(
            question_id=asked.question_id,
            answer=answer,
            principal_id=self.owner_id,
            role_names=("owner",),
            now=self._core.clock.now(),
        )
        await self._do(self.run(run_id), command, actor_of(self.owner), f"cmd_answer.{asked.question_id}")

    async def sign(self, approval_id: str, requested: ApprovalRequested, signer: int) -> None:
        signer_id = self.reviewer_ids[signer]
        command = SignApproval(
            principal_id=signer_id,
            principal_kind="person",
            role_names=("reviewer",),
            digest=requested.digest,
            comment="as ordered",
            now=self._core.clock.now(),
        )
        stream = StreamRef(self.tenant_id, "approval", approval_id)
        await self._do(stream, command, Actor(kind="person", id=signer_id), f"cmd_sign.{approval_id}.{signer}")

    def run(self, run_id: str) -> StreamRef:
        return StreamRef(self.tenant_id, "run", run_id)

    @property
    def _tenant(self) -> StreamRef:
        return StreamRef(self.tenant_id, "tenant", self.tenant_id)

    async def _do(self, stream: StreamRef, command: Any, actor: Actor, command_id: str) -> Handled:
        cause = Cause(actor=actor, command_id=CommandId(command_id))
        handled = await until_answered(lambda: self._core.handler.handle(stream, command, cause))
        self.acknowledged.append(Acknowledged(stream, command_id, handled.sequence))
        if self._chance.random() < ASKED_TWICE:
            again = await until_answered(lambda: self._core.handler.handle(stream, command, cause))
            assert again.sequence == handled.sequence, "the same request has the same answer"
        return handled

    def _principal(self, founded: Handled, principal_id: PrincipalId) -> Principal:
        assert isinstance(founded.state, Tenant)
        return principal_of(founded.state, principal_id)


async def until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while an engine is away. Whoever waits for this has a deadline."""
    while True:
        try:
            return await ask()
        except (Unavailable, StreamMoved):
            await asyncio.sleep(ASK_AGAIN_S)
