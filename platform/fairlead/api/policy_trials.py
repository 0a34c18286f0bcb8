"""Policies before they decide: whether a document could be published, and why a call is or would be judged as it is."""

from typing import Annotated

from fairlead_tenants.access import Permission, Principal
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api.bodies import ApiRequest
from fairlead.api.documents import document_of
from fairlead.api.guards import DOCUMENT, requires
from fairlead.api.parts import ApiParts
from fairlead.api.policies import readable
from fairlead.api.policy_history import RecentHistory, recent_history
from fairlead.api.run_access import check_run, place_of_run
from fairlead.api.tool_calls import NoSuchCall
from fairlead.api.workflows import InWorkspace, named_workspace
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Invalid, NotFound, Problem
from fairlead.domain.ids import CallId, RunId, parent_id
from fairlead.domain.policy.cases import CaseResult, as_told, proposed, run_cases
from fairlead.domain.policy.checks import MAX_NAMED_TOOLS, checked, named_tools
from fairlead.domain.policy.document import CaseCall
from fairlead.domain.policy.explaining import Explanation
from fairlead.domain.policy.layers import Layer
from fairlead.domain.runs.events import ToolCallJudged
from fairlead.domain.runs.masked_explanations import behind_masks
from fairlead.domain.runs.past import as_judged
from fairlead.domain.tenants.states import Tenant
from fairlead.domain.workflow.plain import document_hash
from fairlead.domain.workflows import workflow_id
from fairlead.handling.places import explained

TESTS = requires(Permission.POLICY_READ) | {DOCUMENT: {"type": "object"}}


class PolicyVerdict(Struct, frozen=True, kw_only=True):
    """`cases` are in the order of the document; they and the newest calls are tried only when nothing else is wrong
    with it. `recent` is null too where it cannot be known now."""

    valid: bool
    problems: list[Problem]
    cases: list[CaseResult]
    document_hash: str | None
    recent: RecentHistory | None = None


class Explained(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that was judged, by its id; or one that nobody makes, of a workflow by its name."""

    call_id: Annotated[str, Meta(max_length=100)] | None = None
    workflow: Annotated[str, Meta(max_length=63)] | None = None
    workspace_id: Annotated[str, Meta(max_length=64)] | None = None
    version: Annotated[int, Meta(ge=1, le=2**31 - 1, description="Of the workflow; else the newest.")] | None = None
    call: CaseCall | None = None


class RecordedVerdict(Struct, frozen=True, kw_only=True):
    verdict: str
    rule_id: str
    policy_version: str
    reason: str


class ExplanationView(Struct, frozen=True, kw_only=True):
    """`now` is what the policies in force say. `recorded` is what was said then, of a call that was judged."""

    now: Explanation
    recorded: RecordedVerdict | None


class PolicyTrialController(Controller):
    path = "/v1/policies"
    tags = ("Policies",)

    @post("/test", status_code=200, opt=TESTS)
    async def test_policy(
        self,
        request: ApiRequest,
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
        policy: Annotated[str, QueryParameter(max_length=100, description="What it is for, as in a path.")] = "tenant",
        workspace_id: InWorkspace = None,
    ) -> PolicyVerdict:
        """Whether a document could be published, with everything that is wrong with it, what its cases give, and what
        it would say of the newest calls. Changes nothing."""
        scope = readable(principal, tenant, policy, workspace_id)
        document = await document_of(request)
        tools = await parts.tools.catalogue(tenant.tenant_id, named_tools(document))
        try:
            found = checked(document, parts.expressions, tools, scope.kind, try_cases=False)
        except Invalid as invalid:
            return PolicyVerdict(valid=False, problems=list(invalid.problems), cases=[], document_hash=None)
        cases, digest = run_cases(found, scope.kind, tools, parts.expressions), document_hash(document)
        parts.rulebook.saw(tenant)
        layer = Layer(kind=scope.kind, version=0, document_hash=digest, document=found)
        return PolicyVerdict(
            valid=all(case.passed for case in cases),
            problems=[],
            cases=cases,
            document_hash=digest,
            recent=await recent_history(parts, principal, scope, layer),
        )

    @post("/explain", status_code=200, opt=requires(Permission.POLICY_READ))
    async def explain_decision(
        self,
        data: JSONBody[Explained],
        principal: NamedDependency[Principal],
        tenant: NamedDependency[Tenant],
        parts: NamedDependency[ApiParts],
    ) -> ExplanationView:
        """Which rules were asked, which apply, and by which values: of a recorded call as it was requested, judged by
        the policies of now, or of one that nobody makes."""
        parts.rulebook.saw(tenant)
        if data.call_id is not None and data.call is None:
            return await _of_recorded(parts, principal, CallId(data.call_id))
        if data.call_id is None and data.call is not None and data.workflow is not None:
            return await _of_hypothetical(parts, tenant, data.call, data.workflow, data)
        wrong = Problem(path="/call_id", message="give call_id, or call and workflow", code="nothing_to_explain")
        raise Invalid([wrong], "it is not clear what to explain")


async def _of_recorded(parts: ApiParts, principal: Principal, call_id: CallId) -> ExplanationView:
    stream = StreamRef(principal.tenant_id, "run", RunId(parent_id("run", call_id)))
    past = as_judged(await parts.log.read(stream), call_id)
    if past is None:
        raise NoSuchCall("no such call")
    check_run(principal, Permission.RUN_READ, place_of_run(past.run))
    start = past.run.start
    workflow = StreamRef(principal.tenant_id, "workflow", start.workflow_id)
    rules = await parts.rulebook.of_version(workflow, start.workflow_version)
    now = await explained(parts.log, principal.tenant_id, rules, past)
    return ExplanationView(now=behind_masks(now, rules.sensitive, past.run), recorded=_recorded(past.judged))


async def _of_hypothetical(
    parts: ApiParts, tenant: Tenant, call: CaseCall, workflow: str, data: Explained
) -> ExplanationView:
    workspace = named_workspace(tenant, data.workspace_id)
    if workspace is None:
        raise NotFound("no such workflow")
    stream = StreamRef(tenant.tenant_id, "workflow", workflow_id(tenant.tenant_id, workspace, workflow))
    newest = (await parts.rulebook.version(stream, data.version)).published.version
    rules = await parts.rulebook.of_version(stream, newest)
    tools = await parts.tools.catalogue(tenant.tenant_id, [call.tool, *list(call.calls)[:MAX_NAMED_TOOLS]])
    return ExplanationView(now=as_told(call, proposed(call, tools), rules.explain_call), recorded=None)


def _recorded(judged: ToolCallJudged) -> RecordedVerdict:
    return RecordedVerdict(
        verdict=judged.verdict, rule_id=judged.rule_id, policy_version=judged.policy_version, reason=judged.reason
    )
