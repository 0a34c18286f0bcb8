"""Who decides about each kind of stream."""

from collections.abc import Sequence

from fairlead import accounts
from fairlead.domain import approvals as approval
from fairlead.domain import breakers as breaker
from fairlead.domain import cases as case
from fairlead.domain import erasures as erasure
from fairlead.domain import expiries as expiry
from fairlead.domain import policies as policy
from fairlead.domain import price_lists as price_list
from fairlead.domain import prompts as prompt
from fairlead.domain import retention
from fairlead.domain import tallies as tally
from fairlead.domain import toolsets as toolset
from fairlead.domain import workflows as workflow
from fairlead.domain.budgets import decide as budget_decisions
from fairlead.domain.budgets import states as budget_states
from fairlead.domain.envelope import Kind
from fairlead.domain.routing import residency
from fairlead.domain.routing import routes as route
from fairlead.domain.runs import decide as run_decisions
from fairlead.domain.runs import folding as run_folding
from fairlead.domain.runs import states as run_states
from fairlead.domain.runs.commands import ForkRun, StartRun
from fairlead.domain.runs.events import RunEvent
from fairlead.domain.runs.marking import marks
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.sealing import Marks
from fairlead.domain.webhooks import subscription as webhook
from fairlead.handling.handler import Decider
from fairlead.handling.places import supplied
from fairlead.handling.rulebook import Rulebook
from fairlead.registry import SWITCHES, TENANTS


def deciders(rulebook: Rulebook) -> dict[Kind, Decider]:
    return {
        "tenant": TENANTS,
        **accounts.DECIDERS,
        "workflow": Decider(initial=workflow.initial, evolve=workflow.evolve, decide=workflow.decide),
        "approval": Decider(
            initial=approval.initial,
            evolve=approval.evolve,
            decide=approval.decide,
            finished=lambda state: isinstance(state, approval.Settled),
            subject=approval.subject,
            marks=approval.marks,
        ),
        "switch": SWITCHES,
        "breaker": Decider(initial=breaker.initial, evolve=breaker.evolve, decide=breaker.decide),
        "tally": Decider(initial=tally.initial, evolve=tally.evolve, decide=tally.decide),
        "prompt": Decider(initial=prompt.initial, evolve=prompt.evolve, decide=prompt.decide),
        "policy": Decider(initial=policy.initial, evolve=policy.evolve, decide=policy.decide),
        "toolset": Decider(
            initial=toolset.initial,
            evolve=toolset.evolve,
            decide=toolset.decide,
            finished=lambda state: isinstance(state, toolset.Defined),
        ),
        "budget": Decider(
            initial=budget_states.initial,
            evolve=budget_states.evolve,
            decide=budget_decisions.decide,
            finished=lambda state: isinstance(state, budget_states.Closed),
        ),
        "prices": Decider(initial=price_list.initial, evolve=price_list.evolve, decide=price_list.decide),
        "retention": Decider(initial=retention.initial, evolve=retention.evolve, decide=retention.decide),
        "expiry": Decider(initial=expiry.initial, evolve=expiry.evolve, decide=expiry.decide, finished=lambda _: True),
        "erasure": Decider(initial=erasure.initial, evolve=erasure.evolve, decide=erasure.decide),
        "case": Decider(
            initial=case.initial, evolve=case.evolve, decide=case.decide, subject=case.subject, marks=case.marks
        ),
        "route": Decider(initial=route.initial, evolve=route.evolve, decide=route.decide),
        "residency": Decider(initial=residency.initial, evolve=residency.evolve, decide=residency.decide),
        "webhook": Decider(initial=webhook.initial, evolve=webhook.evolve, decide=webhook.decide),
        "run": Decider(
            initial=run_states.initial,
            evolve=run_folding.evolve,
            decide=run_decisions.decide,
            unfolded=run_decisions.unfolded,
            rules=rulebook.of_command,
            supply=supplied,
            finished=run_states.is_over,
            smaller=run_decisions.smaller,
            begins=lambda command: isinstance(command, StartRun | ForkRun),
            subject=run_folding.subject,
            marks=_of_run,
        ),
    }


def _of_run(state: run_states.RunState, facts: Sequence[RunEvent], rules: WorkflowRules | None) -> Marks | None:
    return None if rules is None else marks(rules.sensitive, state, facts)
