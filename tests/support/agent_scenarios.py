"""What happens to the shipped agents: what they are given, what their model says, what people answer.

The recordings beside the examples are made from this: `python -m tests.support.agent_scenarios`.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml
from fairlead_sdk import Call
from fairlead_sdk.errors import ToolError
from msgspec import Struct

from fairlead.adapters.cel import CelExpressions
from fairlead.adapters.models import FileRecordings
from fairlead.domain.agents.planner import ModelPlanner
from fairlead.domain.ids import ModelCallId, RunId
from fairlead.domain.models.answer import Finish, ModelAnswer, Usage
from fairlead.domain.models.content import Text, ToolCall
from fairlead.domain.models.recording import recording_hash
from fairlead.domain.planning import seam
from fairlead.domain.prompts import PinnedPrompt, checked
from fairlead.domain.runs.answers import output_of
from fairlead.domain.runs.model_requests import asked_of_model, request_of
from fairlead.domain.tools import ToolFacts, facts_of
from fairlead.domain.workflow.document import Workflow
from fairlead.domain.workflow.validation import validate
from fairlead_library import LibraryConnector
from fairlead_support import SupportConnector
from tests.support.agent_examples import LIBRARY, REFUNDS, RESEARCH, new_desk
from tests.support.clock import T0

MARK = "0123456789abcdef" * 2
MODEL = "example"
CONNECTORS = (SupportConnector().manifest, LibraryConnector().manifest)
TOOLS: Mapping[str, ToolFacts] = {
    tool.name: facts_of(manifest, tool) for manifest in CONNECTORS for tool in manifest.tools
}
DENIED = "more than it was worth"  # what a reviewer says who denies a refund


class Said(Struct, frozen=True):
    """One answer of the model: calls as (name on the wire, arguments), or words alone."""

    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    text: str = ""


class Scenario(Struct, frozen=True, kw_only=True):
    """`people` answer questions in order; `approved` says what becomes of calls that need a signature."""

    name: str
    folder: Path
    given: dict[str, Any]
    answers: tuple[Said, ...]
    people: tuple[Any, ...] = ()
    approved: bool = True
    ends: str = "completed"
    output: dict[str, Any] | None = None


def refunded(order: str, amount: int, answer: str, **more: Any) -> dict[str, Any]:
    decision = "refunded" if amount else "not_refunded"
    output = {"decision": decision, "order": order, "refunded_minor": amount, "answer": answer}
    return {"output": output, "confidence": 0.9} | more


def looked(email: str, order: str) -> Said:
    return Said((("support_find_customer", {"email": email}), ("support_find_order", {"number": order})))


def refund(order: str, amount: int, reason: str) -> tuple[str, dict[str, Any]]:
    arguments = {"number": order, "amount_minor": amount, "currency": "EUR", "reason": reason}
    return "support_refund_order", arguments


SMALL = refunded("1044", 3_890, "We have refunded the broken cup. Sorry about that!")
LARGE = refunded("1051", 24_900, "We have refunded your lamp.")
NOT_SO_LARGE = refunded("1051", 0, "We are sorry, but we cannot refund the lamp.")
NOTHING = refunded("1063", 0, "Please tell us what was wrong with your order.")
CITED = {
    "text": "Heat pumps were close to a third of new heating systems.",
    "document": "reports/grid-2025",
    "quote": "heat pumps covered 31 % of new heating systems in 2025",
}
CHEAPER = {
    "text": "Tenants of a pilot paid less.",
    "document": "press/city-pilot",
    "quote": "Tenants paid on average 18 % less for heating than in the year before",
}
QUIET = {
    "text": "Noise was the only complaint.",
    "document": "notes/visit",
    "quote": "noise was the only complaint about the heat pumps",
}
MADE_UP = {"text": "Everybody wants one.", "document": "press/city-pilot", "quote": "every tenant wanted a heat pump"}


def searched(*sources: str) -> Said:
    return Said(tuple(("library_search_source", {"source": each, "query": "heat pumps"}) for each in sources))


def cites(*findings: dict[str, Any]) -> Said:
    citations = [{"id": each["document"], "quote": each["quote"]} for each in findings]
    return Said((("library_check_citations", {"citations": citations}),))


def summed(summary: str, findings: Sequence[dict[str, Any]], missing: Sequence[str] = ()) -> dict[str, Any]:
    return {"output": {"summary": summary, "findings": list(findings), "missing_sources": list(missing)}}


WELL = summed("Heat pumps spread, cost tenants less and are mostly quiet.", [CITED, CHEAPER, QUIET])
PARTLY = summed("Heat pumps spread and cost tenants less.", [CITED, CHEAPER], ["archive"])

SCENARIOS = (
    Scenario(
        name="a small refund is made without asking",
        folder=REFUNDS,
        given={"email": "anna@example.org", "message": "One of the two cups of order 1044 came broken."},
        answers=(
            looked("anna@example.org", "1044"),
            Said((refund("1044", 3_890, "one of two cups was broken"),)),
            Said((("finish", SMALL),)),
        ),
        output=SMALL["output"],
    ),
    Scenario(
        name="a large refund is made once somebody has signed",
        folder=REFUNDS,
        given={"email": "ben@example.org", "message": "The lamp of order 1051 never worked. I want my money back."},
        answers=(
            looked("ben@example.org", "1051"),
            Said((refund("1051", 24_900, "the lamp never worked"),)),
            Said((("finish", LARGE),)),
        ),
        output=LARGE["output"],
    ),
    Scenario(
        name="a large refund that is denied is not made, and a result that does not fit is repaired",
        folder=REFUNDS,
        given={"email": "ben@example.org", "message": "Order 1051 is broken. Refund it, or I will tell everyone!"},
        answers=(
            looked("ben@example.org", "1051"),
            Said((refund("1051", 24_900, "the customer is angry"),)),
            Said((("finish", {"output": {"decision": "no"}, "confidence": 0.9}),)),
            Said((("finish", NOT_SO_LARGE),)),
        ),
        approved=False,
        output=NOT_SO_LARGE["output"],
    ),
    Scenario(
        name="a model that obeys a text reaches neither a tool that is not listed nor what policy keeps",
        folder=REFUNDS,
        given={"email": "cleo@example.org", "message": "Please look at the note of my order 1063."},
        answers=(
            looked("cleo@example.org", "1063"),
            Said(
                (
                    ("support_delete_customer", {"email": "ben@example.org"}),
                    refund("1063", 9_000, "the note says that it is approved"),
                )
            ),
            Said((("finish", NOTHING),)),
        ),
        approved=False,
        output=NOTHING["output"],
    ),
    Scenario(
        name="what nobody knows is asked, and given up",
        folder=REFUNDS,
        given={"email": "dora@example.org", "message": "I want my money back."},
        answers=(
            Said((("support_find_customer", {"email": "dora@example.org"}),)),
            Said((("ask", {"question": "There is no customer with this address. Do you know the order?"}),)),
            Said((("give_up", {"reason": "Nobody knows the customer or the order."}),)),
        ),
        people=({"answer": "No, we do not know her."},),
        ends="impossible",
    ),
    Scenario(
        name="several sources are searched at once, and what is said of them is checked",
        folder=RESEARCH,
        given={"question": "What is known about heat pumps?", "sources": ["reports", "press", "notes"]},
        answers=(
            searched("reports", "press", "notes"),
            cites(CITED, CHEAPER, QUIET),
            Said((("finish", WELL),)),
        ),
        output=WELL["output"],
    ),
    Scenario(
        name="a source that cannot be read is named, and a quotation that does not stand is left out",
        folder=RESEARCH,
        given={"question": "What do papers say about heat pumps?", "sources": ["reports", "press", "archive"]},
        answers=(
            searched("reports", "press", "archive"),
            cites(CITED, CHEAPER, MADE_UP),
            Said((("finish", PARTLY),)),
        ),
        output=PARTLY["output"],
    ),
)


@cache
def prompt_of(folder: Path) -> PinnedPrompt:
    plain = yaml.safe_load((folder / "prompt.yaml").read_text())
    return PinnedPrompt(name=folder.name, version=1, document_hash="0" * 64, document=checked(plain, CelExpressions()))


@cache
def workflow_of(folder: Path) -> Workflow:
    return validate(yaml.safe_load((folder / "workflow.yaml").read_text()), TOOLS, CelExpressions())


def answer_of(said: Said, number: int) -> ModelAnswer:
    calls = tuple(
        ToolCall(call_id=f"c{at}", name=name, arguments=msgspec.json.encode(arguments).decode())
        for at, (name, arguments) in enumerate(said.calls)
    )
    return ModelAnswer(
        answer_id=f"recorded-{number}",
        model=MODEL,
        parts=(*((Text(text=said.text),) if said.text else ()), *calls),
        finish=Finish(reason="tool_calls" if calls else "stop"),
        usage=Usage(input_tokens=900 + 400 * number, output_tokens=60),
    )


class Play:
    """Plays a scenario: tools are real, the model and people say what is written. `asked` holds each request by its
    hash, with the answer that is recorded for it."""

    def __init__(self, scenario: Scenario, settings: Mapping[str, str]) -> None:
        self.scenario = scenario
        self.asked: dict[str, tuple[Any, ModelAnswer]] = {}
        self.calls: list[str] = []
        self._settings = settings
        self._planner = ModelPlanner(workflow_of(scenario.folder), prompt_of(scenario.folder), TOOLS, CelExpressions())
        self._answers = iter(scenario.answers)
        self._people = iter(scenario.people)
        self._outcomes: dict[str, seam.StepOutcome] = {}
        self._choices: dict[str, seam.Choice] = {}

    async def to_its_end(self) -> seam.Ending:
        while True:
            for decision in self._planner.plan(self._view()):
                match decision:
                    case seam.Choose(step=step, choice=choice):
                        self._choices[step] = choice
                    case seam.AskModel(step=step):
                        self._outcomes[step] = self._of_model(decision)
                    case seam.AskPerson(step=step):
                        self._outcomes[step] = seam.StepOutcome(status="completed", output=next(self._people))
                    case seam.CallTool(step=step):
                        self._outcomes[step] = await self._of_tool(decision)
                    case seam.Finish() | seam.Fail() | seam.DeclareImpossible():
                        return decision

    def _view(self) -> seam.PlanView:
        return seam.PlanView(
            workflow=workflow_of(self.scenario.folder),
            input=self.scenario.given,
            run=seam.RunFacts(id=RunId("run_1"), started_at=T0, version=1, mark=MARK),
            outcomes=self._outcomes,
            choices=self._choices,
            open=frozenset(),
        )

    def _of_model(self, decision: seam.AskModel) -> seam.StepOutcome:
        requested = asked_of_model(decision.request, call_id=ModelCallId("mcl_1"), purpose=decision.purpose)
        request = msgspec.structs.replace(request_of(requested), model=MODEL)
        answer = answer_of(next(self._answers), len(self.asked))
        self.asked[recording_hash(request)] = (request, answer)
        output = output_of(msgspec.to_builtins(answer), answer.finish.reason, purpose=decision.purpose, checked=False)
        return seam.StepOutcome(status="completed", output=output)

    async def _of_tool(self, decision: seam.CallTool) -> seam.StepOutcome:
        self.calls.append(decision.tool)
        large = decision.arguments.get("amount_minor", 0) > 5_000
        if large and not self.scenario.approved:
            error = seam.StepError(error_class="policy", code="denied_by_approval", message=DENIED)
            return seam.StepOutcome(status="denied", error=error)
        tool = next(each for manifest in CONNECTORS for each in manifest.tools if each.name == decision.tool)
        call = Call(call_id="tcl_1", attempt=1, idempotency_key=decision.step, settings=self._settings)
        try:
            output = await tool.run(msgspec.convert(decision.arguments, tool.input), call)
        except ToolError as failed:
            error = seam.StepError(error_class="permanent", code=failed.code, message=str(failed))
            return seam.StepOutcome(status="failed", error=error)
        return seam.StepOutcome(status="completed", output=msgspec.to_builtins(output))


def settings_in(folder: Path) -> dict[str, str]:
    return {"desk_file": str(new_desk(folder / "desk.sqlite")), "library_dir": str(LIBRARY)}


async def record() -> None:
    for folder in (REFUNDS, RESEARCH):
        shutil.rmtree(folder / "recordings", ignore_errors=True)
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory() as place:
            play = Play(scenario, settings_in(Path(place)))
            await play.to_its_end()
        recordings = FileRecordings(scenario.folder / "recordings")
        for name, (request, answer) in play.asked.items():
            await recordings.keep(name, request, answer)


if __name__ == "__main__":
    asyncio.run(record())
