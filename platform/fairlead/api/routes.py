"""Every route there is."""

from litestar.types import ControllerRouterHandler

from fairlead.api.accesses import AccessController
from fairlead.api.approval_answers import ApprovalAnswerController
from fairlead.api.approval_links import answer_by_link, open_link
from fairlead.api.approvals import ApprovalController
from fairlead.api.breakers import BreakerController
from fairlead.api.budgets import BudgetController, BudgetZoneController
from fairlead.api.cases import CaseController, report_run
from fairlead.api.catalogue import CatalogueController
from fairlead.api.connection_sign_ins import SignInController
from fairlead.api.connections import ConnectionController
from fairlead.api.connectors import ConnectorController
from fairlead.api.cost_reports import CostReportController
from fairlead.api.dead_letters import DeadLetterController
from fairlead.api.delegations import DelegationController
from fairlead.api.erasures import ErasureController
from fairlead.api.explanations import explain_ending, explain_model_call, explain_tool_call, export_bundle
from fairlead.api.exports import export_events, export_run
from fairlead.api.keys import KeyController
from fairlead.api.ledger import LedgerController
from fairlead.api.mcp.door import McpController
from fairlead.api.model_doors.door import ModelDoorController
from fairlead.api.model_routes import RouteController
from fairlead.api.oauth_callback import oauth_callback
from fairlead.api.oauth_clients import OAuthClientController
from fairlead.api.operations import healthz, metrics, openapi, readyz
from fairlead.api.outside_runs import OutsideRunController
from fairlead.api.policies import PolicyController
from fairlead.api.policy_effects import get_policy_effect
from fairlead.api.policy_publishing import publish_policy
from fairlead.api.policy_simulation import simulate_policy
from fairlead.api.policy_trials import PolicyTrialController
from fairlead.api.prices import PriceController
from fairlead.api.principals import PeopleController, PrincipalController
from fairlead.api.prompts import PromptController
from fairlead.api.publishing import publish_workflow
from fairlead.api.reports import ReportController
from fairlead.api.residency import get_residency, set_residency
from fairlead.api.retention import HoldController, RetentionController
from fairlead.api.review_shares import get_review_share
from fairlead.api.route_explaining import explain_route
from fairlead.api.run_controls import RunControlController, signal_by_label
from fairlead.api.runs import RunController
from fairlead.api.streams import stream_run, stream_tenant
from fairlead.api.switches import SwitchController
from fairlead.api.tenants import EnvironmentController, TenantController
from fairlead.api.timelines import TimelineController
from fairlead.api.tool_calls import get_tool_call, list_tool_calls
from fairlead.api.toolsets import ToolsetController
from fairlead.api.webhooks import WebhookController
from fairlead.api.workflows import WorkflowController
from fairlead.api.workspaces import WorkspaceController

ROUTES: tuple[ControllerRouterHandler, ...] = (
    healthz,
    readyz,
    metrics,
    openapi,
    TenantController,
    WorkspaceController,
    EnvironmentController,
    PeopleController,
    PrincipalController,
    KeyController,
    WorkflowController,
    publish_workflow,
    PolicyController,
    publish_policy,
    PolicyTrialController,
    RouteController,
    explain_route,
    get_residency,
    set_residency,
    simulate_policy,
    get_policy_effect,
    get_review_share,
    CatalogueController,
    ConnectorController,
    ToolsetController,
    RunController,
    RunControlController,
    OutsideRunController,
    McpController,
    ModelDoorController,
    signal_by_label,
    TimelineController,
    list_tool_calls,
    get_tool_call,
    ApprovalController,
    ApprovalAnswerController,
    DelegationController,
    ReportController,
    CostReportController,
    open_link,
    answer_by_link,
    ConnectionController,
    SignInController,
    OAuthClientController,
    oauth_callback,
    DeadLetterController,
    SwitchController,
    WebhookController,
    AccessController,
    explain_model_call,
    explain_tool_call,
    explain_ending,
    export_bundle,
    report_run,
    CaseController,
    BreakerController,
    stream_run,
    stream_tenant,
    export_run,
    export_events,
    LedgerController,
    RetentionController,
    HoldController,
    BudgetController,
    BudgetZoneController,
    PriceController,
    PromptController,
    ErasureController,
)
