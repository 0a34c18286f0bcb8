"""One workflow version, compiled: its planner, its policy, its schemas and the tools it may use."""

from collections.abc import Sequence
from copy import copy
from typing import Any

from fairlead.domain.agents.planner import ModelPlanner
from fairlead.domain.errors import Problem
from fairlead.domain.expressions import Expressions
from fairlead.domain.instant import Instant
from fairlead.domain.planning.outside import OutsidePlanner
from fairlead.domain.planning.seam import Planner
from fairlead.domain.planning.steps import StepsPlanner
from fairlead.domain.policy.compiled import Policy, compile_policy, level_of
from fairlead.domain.policy.document import Autonomy
from fairlead.domain.policy.explaining import Explanation, explain
from fairlead.domain.policy.judge import Judgement
from fairlead.domain.policy.layers import NO_LAYERS, Layer, Layers
from fairlead.domain.policy.proposed import People, ProposedCall, RunSoFar, nobody
from fairlead.domain.policy.sequences import SESSION, Past
from fairlead.domain.policy.trying import judge_both, tried_beside
from fairlead.domain.prompts import PinnedPrompt
from fairlead.domain.runs.marking import Sensitive
from fairlead.domain.runs.states import Active, OpenCall, request_counts
from fairlead.domain.tallies import Places
from fairlead.domain.tools import ToolCatalogue, ToolFacts
from fairlead.domain.workflow.document import Workflow
from fairlead.domain.workflow.schemas import compile_schema, faults


def planner_of(
    workflow: Workflow, expressions: Expressions, tools: ToolCatalogue, prompt: PinnedPrompt | None
) -> Planner:
    match workflow.planner:
        case "steps":
            return StepsPlanner(workflow, expressions)
        case "outside":
            return OutsidePlanner()
        case "model":
            assert prompt is not None, "a version with this planner was published with a prompt"
            return ModelPlanner(workflow, prompt, tools, expressions)


class WorkflowRules:
    """Immutable once built: keep one per workflow version and share it among its runs.

    `unstated` is the level where neither the document nor a layer states one.
    """

    def __init__(
        self,
        workflow: Workflow,
        version: int,
        catalogue: ToolCatalogue,
        expressions: Expressions,
        layers: Layers = NO_LAYERS,
        unstated: Autonomy = "act_within_policy",
        people: People = nobody,
        prompt: PinnedPrompt | None = None,
    ) -> None:
        self.workflow = workflow
        self.planner = planner_of(workflow, expressions, catalogue, prompt)
        self.version = version
        self._catalogue = catalogue
        self._expressions = expressions
        self._unstated = unstated
        self._people = people
        self.apply(layers)
        self.places: Places = {}
        self.sensitive = Sensitive(workflow, {name: catalogue.get(name) for name in workflow.tools})
        self._input = compile_schema(workflow.input)
        self._output = compile_schema(workflow.output)

    def under(self, layers: Layers) -> "WorkflowRules":
        """The same version where these policies apply. Nothing but policy is compiled again."""
        moved = copy(self)
        moved.apply(layers)
        return moved

    def apply(self, layers: Layers) -> None:
        """For whoever builds the rules."""
        self.layers = layers
        self._policy = self._compiled(layers.enforced)
        tried = self._compiled(layers.tried) if layers.tried is not layers.enforced else None
        self._tried = tried_beside(self._policy, tried) if tried is not None else None

    def _compiled(self, layers: tuple[Layer, ...]) -> Policy:
        workflow = self.workflow
        return compile_policy(
            workflow.policy,
            workflow.tools,
            workflow.forbidden,
            workflow.writes,
            self._expressions,
            layers,
            level_of(workflow.autonomy, layers, self._unstated),
        )

    @property
    def policy_version(self) -> str:
        return self._policy.version

    def tool(self, name: str) -> ToolFacts | None:
        return self._catalogue.get(name)

    def argument_problems(self, tool: str, arguments: object) -> Sequence[Problem]:
        return self._catalogue.argument_problems(tool, arguments)

    def input_problems(self, given: object) -> Sequence[Problem]:
        return faults(self._input, given)

    def output_problems(self, output: object) -> Sequence[Problem]:
        return faults(self._output, output)

    def answer_problems(self, schema: dict[str, Any], answer: object) -> Sequence[Problem]:
        return faults(compile_schema(schema), answer)

    def tool_output_problems(self, tool: str, output: object) -> Sequence[Problem]:
        """None for a tool that is not installed any more: nobody knows its contract then."""
        return self._catalogue.output_problems(tool, output) if tool in self._catalogue else []

    def stands(self, call: OpenCall) -> bool:
        """Whether judging the call again is certain to end as it did: the same policy, the same tool, and no rule that
        reads the time or roles. All else that the judge looks at was fixed when the call was requested."""
        request, tool = call.request, self._catalogue.get(call.request.tool)
        return (
            tool is not None
            and (call.policy_version, request.tool_version) == (self._policy.version, tool.version)
            and not self._policy.depends_on_moment(request.tool, request.effect)
        )

    def judge(self, call: OpenCall, state: Active, now: Instant, *, counts: bool = True) -> Judgement:
        """Raises PlacesWanted where a rule counts across runs: answer `with_places`, and judge again."""
        return judge_both(self._policy, self._tried, self.proposed(call, state, now, counts=counts))

    def with_places(self, places: Places) -> "WorkflowRules":
        """For one decision, which knows these."""
        knowing = copy(self)
        knowing.places = {**self.places, **places}
        return knowing

    def explain(self, call: OpenCall, state: Active, now: Instant) -> Explanation:
        """Raises PlacesWanted, as `judge` does."""
        return explain(self._policy, self.proposed(call, state, now, counts=True))

    def _past(self, call: OpenCall, state: Active, *, counts: bool) -> Past:
        made = dict(state.made)
        if call.attempt > 0 and request_counts(call):
            made[call.request.tool] = made.get(call.request.tool, 1) - 1
        effects = {name: self._catalogue[name].effect if name in self._catalogue else None for name in made}
        return Past(
            call_id=call.request.call_id,
            run_id=state.run_id,
            environment=state.start.environment_id,
            session=state.start.labels.get(SESSION, ""),
            made=tuple((name, effects[name]) for name, count in made.items() if count > 0),
            held={} if call.amended_by else call.places,  # what it counts by may be another now
            places=self.places,
            counts=counts,
        )

    def explain_call(self, call: ProposedCall) -> Explanation:
        """A call that nobody makes. Raises PlacesWanted."""
        return explain(self._policy, call)

    def proposed(self, call: OpenCall, state: Active, now: Instant, *, counts: bool = False) -> ProposedCall:
        """The call as rules see it."""
        request, start = call.request, state.start
        tool = self._catalogue.get(request.tool)
        return ProposedCall(
            tool=request.tool,
            effect=request.effect,
            arguments=request.arguments,
            writes=tool.writes if tool else (),
            principal_id=start.agent_principal_id,
            environment=start.environment_kind,
            run=RunSoFar(
                id=state.run_id,
                input=start.input,
                workflow=start.workflow_name,
                version=start.workflow_version,
                calls=call.calls_by_tool,
                labels=start.labels,
            ),
            now=now,
            agent=self._people(start.agent_principal_id),
            starter=self._people(start.started_by),
            can_verify=tool.has_verify if tool else False,
            past=self._past(call, state, counts=counts),
        )
