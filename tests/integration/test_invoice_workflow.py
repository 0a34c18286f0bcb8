"""The reference workflow's document, walked with its real planner, policy, expressions and tools over its own samples.

People are played by the script: which steps they deny and what they answer.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fairlead_sdk import Refused
from fairlead_tenants.ids import PrincipalId

from fairlead.domain.ids import RunId
from fairlead.domain.planning.seam import (
    AskPerson,
    CallTool,
    Choose,
    DeclareImpossible,
    Ending,
    Fail,
    Finish,
    PlanView,
    RunFacts,
    StepError,
    StepOutcome,
)
from fairlead.domain.planning.steps import StepsPlanner
from fairlead.domain.policy.compiled import compile_policy
from fairlead.domain.policy.judge import Judgement, judge
from fairlead.domain.policy.proposed import ProposedCall, RunSoFar
from fairlead.domain.redaction import redact
from fairlead.domain.tools import facts_of
from fairlead.domain.workflow.document import Workflow
from fairlead.domain.workflow.schemas import compile_schema
from fairlead.domain.workflow.validation import validate
from fairlead_invoices import InvoicesConnector
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS
from tests.support.invoices import EXAMPLE, Bench, invoice_bench

Signatures = list[tuple[str, str, int]]


@pytest.fixture
async def bench(postgres_admin_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with invoice_bench(postgres_admin_url, tmp_path / "intake") as ready:
        yield ready


@pytest.fixture(scope="module")
def workflow() -> Workflow:
    manifest = InvoicesConnector().manifest
    facts = {tool.name: facts_of(manifest, tool) for tool in manifest.tools}
    return validate(yaml.safe_load((EXAMPLE / "workflow.yaml").read_text()), facts, EXPRESSIONS)


class Script:
    """One run. `signatures` collects step, rule and number of signatures of every approval that was asked for."""

    def __init__(self, workflow: Workflow, bench: Bench, denied: tuple[str, ...], answers: dict[str, Any]) -> None:
        self._workflow = workflow
        self._bench = bench
        self._denied = denied
        self._answers = answers
        self._policy = compile_policy(workflow.policy, workflow.tools, workflow.forbidden, workflow.writes, EXPRESSIONS)
        self._outcomes: dict[str, StepOutcome] = {}
        self._choices: dict[str, Any] = {}
        self._input: dict[str, Any] = {}
        self.signatures: Signatures = []

    async def run(self, **given: Any) -> Ending:
        self._input = given
        planner = StepsPlanner(self._workflow, EXPRESSIONS)
        for _ in range(20):
            for decision in planner.plan(self._view()):
                match decision:
                    case Choose(step=step, choice=choice):
                        self._choices[step] = choice
                    case AskPerson(step=step):
                        self._outcomes[step] = StepOutcome(status="completed", output=self._answers[step])
                    case CallTool() as call:
                        self._outcomes[call.step] = await self._call(call)
                    case Finish() | Fail() | DeclareImpossible() as ending:
                        return ending
                    case _:
                        pytest.fail(f"the workflow does not decide {decision}")
        pytest.fail("the run does not end")

    def _view(self) -> PlanView:
        return PlanView(
            workflow=self._workflow,
            input=self._input,
            run=RunFacts(id=RunId("run_1"), started_at=T0, version=1),
            outcomes=dict(self._outcomes),
            choices=dict(self._choices),
            open=frozenset(),
        )

    async def _call(self, call: CallTool) -> StepOutcome:
        judged = self._judge(call)
        assert judged.verdict != "deny", judged.reason
        if judged.approvals is not None:
            await self._preview(call)
            self.signatures.append((call.step, judged.rule_id, judged.approvals.count))
            if call.step in self._denied:
                error = StepError(error_class="policy", code="denied_by_approval", message="Not like this.")
                return StepOutcome(status="denied", error=error)
        try:
            name = call.tool.removeprefix("invoices.")
            output = await self._bench.call(name, call.step, **call.arguments)
            return StepOutcome(status="completed", output=redact(output)[0])
        except Refused as refused:
            error = StepError(error_class="permanent", code=refused.code, message=str(refused))
            return StepOutcome(status="failed", error=error)

    async def _preview(self, call: CallTool) -> None:
        """What reviewers see, unless the tool refuses already: then they see that, and the call fails in the end."""
        try:
            shown = await self._bench.preview(call.tool.removeprefix("invoices."), **call.arguments)
        except Refused:
            return
        assert redact(shown) == (shown, [])
        assert {"before", "after", "evidence"} == shown.keys()
        assert shown["evidence"]["document"]["sha256"] == self._input["document"]

    def _judge(self, call: CallTool) -> Judgement:
        tool = self._bench.connector.manifest.by_name[call.tool]
        proposed = ProposedCall(
            tool=call.tool,
            effect=tool.effect,
            arguments=call.arguments,
            writes=tool.writes,
            principal_id=PrincipalId("prn_agent"),
            environment="production",
            run=RunSoFar(id=RunId("run_1"), input=self._input, workflow="invoice-match", version=1, calls={}),
            now=T0,
        )
        return judge(self._policy, proposed)


async def walk(
    workflow: Workflow, bench: Bench, name: str, denied: tuple[str, ...] = (), **answers: Any
) -> tuple[Any, Signatures]:
    script = Script(workflow, bench, denied, answers)
    ending = await script.run(document=bench.names[name])
    assert isinstance(ending, Finish), ending
    assert compile_schema(workflow.output).is_valid(ending.output), ending.output
    return ending.output, script.signatures


@pytest.mark.parametrize(
    ("name", "paid_minor", "variance_minor"),
    [
        ("01-exact-match.xml", 222640, 0),
        ("02-small-variance.xml", 194922, 1200),
        ("10-cii-exact-match.xml", 183796, 0),
        ("11-partial-delivery.xml", 259770, 0),
    ],
)
async def test_what_the_order_explains_is_staged_and_paid_unattended(
    workflow: Workflow, bench: Bench, name: str, paid_minor: int, variance_minor: int
) -> None:
    output, signatures = await walk(workflow, bench, name)
    assert (output["outcome"], output["paid_minor"]) == ("payment_staged", paid_minor)
    assert (output["absolute_variance_minor"], signatures) == (variance_minor, [])


async def test_a_large_variance_waits_for_a_signature_at_the_invoice_and_at_its_payment(
    workflow: Workflow, bench: Bench
) -> None:
    output, signatures = await walk(workflow, bench, "03-large-variance.xml")
    assert (output["outcome"], output["absolute_variance_minor"]) == ("payment_staged", 32100)
    assert signatures == [
        ("stage_invoice", "differences-need-a-reviewer", 1),
        ("stage_payment", "payments-need-a-reviewer", 1),
    ]


@pytest.mark.parametrize(
    ("answer", "outcome"), [("PO-1004", "payment_staged"), ("", "rejected"), ("PO-8888", "rejected")]
)
async def test_without_an_order_a_person_names_one_or_the_invoice_is_rejected(
    workflow: Workflow, bench: Bench, answer: str, outcome: str
) -> None:
    output, _ = await walk(workflow, bench, "04-missing-order.xml", ask_order={"order_number": answer})
    assert output["outcome"] == outcome
    assert output["order_number"] == (answer if outcome == "payment_staged" else None)


async def test_a_duplicate_is_rejected_and_nothing_is_staged(workflow: Workflow, bench: Bench) -> None:
    output, signatures = await walk(workflow, bench, "05-duplicate.xml")
    assert (output["outcome"], signatures) == ("rejected", [])
    assert await bench.rows("SELECT reason_code FROM rejections") == [("duplicate",)]
    assert await bench.rows("SELECT count(*) FROM staged_payments") == [(0,)]


async def test_a_credit_note_is_staged_and_nothing_is_paid(workflow: Workflow, bench: Bench) -> None:
    output, signatures = await walk(workflow, bench, "06-credit-note.xml")
    assert (output["outcome"], output["paid_minor"], signatures) == ("credit_staged", 0, [])


async def test_a_document_that_cannot_be_read_ends_the_run_as_impossible(workflow: Workflow, bench: Bench) -> None:
    ending = await Script(workflow, bench, (), {}).run(document=bench.names["07-malformed.xml"])
    assert isinstance(ending, DeclareImpossible)
    assert "malformed_document" in ending.reason
    assert await bench.rows("SELECT reason_code FROM rejections") == [("unreadable",)]


async def test_a_high_payment_needs_two_signatures(workflow: Workflow, bench: Bench) -> None:
    output, signatures = await walk(workflow, bench, "08-two-signatures.xml")
    assert (output["outcome"], output["paid_minor"]) == ("payment_staged", 3689000)
    assert signatures == [("stage_payment", "high-payments-need-two", 2)]


async def test_a_denied_payment_is_revised_once_and_approved_again(workflow: Workflow, bench: Bench) -> None:
    output, signatures = await walk(
        workflow, bench, "09-denied-then-revised.xml", ("stage_payment",), ask_amount={"amount_minor": 600_000}
    )
    assert (output["outcome"], output["paid_minor"]) == ("payment_staged", 600_000)
    assert [step for step, _, _ in signatures] == ["stage_payment", "stage_revised_payment"]


@pytest.mark.parametrize(
    ("denied", "amount_minor"),
    [(("stage_payment",), 0), (("stage_payment", "stage_revised_payment"), 600_000), (("stage_payment",), 999_999_999)],
)
async def test_a_payment_denied_for_good_withdraws_the_invoice(
    workflow: Workflow, bench: Bench, denied: tuple[str, ...], amount_minor: int
) -> None:
    output, _ = await walk(
        workflow, bench, "09-denied-then-revised.xml", denied, ask_amount={"amount_minor": amount_minor}
    )
    assert (output["outcome"], output["paid_minor"]) == ("rejected", 0)
    assert await bench.rows("SELECT status FROM staged_invoices WHERE number = 'TP-5560'") == [("withdrawn",)]


async def test_figures_that_disagree_reach_a_person_who_may_deny(workflow: Workflow, bench: Bench) -> None:
    output, signatures = await walk(workflow, bench, "12-figures-disagree.xml", ("stage_invoice",))
    assert output["outcome"] == "rejected"
    assert signatures == [("stage_invoice", "differences-need-a-reviewer", 1)]
    assert await bench.rows("SELECT reason FROM rejections") == [("denied_by_approval: Not like this.",)]
