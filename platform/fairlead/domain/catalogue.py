"""Every event there is, by kind of stream. A kind, a tag and an upcaster are never taken out again."""

from collections.abc import Mapping
from typing import Any

from fairlead.domain.accesses import Accessed
from fairlead.domain.approvals import ApprovalEvent
from fairlead.domain.breakers import BreakerEvent
from fairlead.domain.budgets.events import BudgetEvent
from fairlead.domain.cases import CaseEvent
from fairlead.domain.codec import Upcast
from fairlead.domain.connections.clients import OAuthClientEvent
from fairlead.domain.connections.events import ConnectionEvent, ConnectionUsed
from fairlead.domain.connectors.catalogue import ConnectorEvent
from fairlead.domain.envelope import Kind
from fairlead.domain.erasures import Erased
from fairlead.domain.expiries import ExpiryEvent
from fairlead.domain.policies import PolicyEvent
from fairlead.domain.price_lists import PriceListEvent
from fairlead.domain.prompts import PromptEvent
from fairlead.domain.retention import RetentionEvent
from fairlead.domain.routing.residency import ResidencyEvent
from fairlead.domain.routing.routes import RouteEvent
from fairlead.domain.runs.events import RunEvent
from fairlead.domain.switches.board import SwitchEvent
from fairlead.domain.tallies import TallyEvent
from fairlead.domain.tenants.events import TenantEvent
from fairlead.domain.toolsets import ToolsetEvent
from fairlead.domain.webhooks.events import WebhookEvent
from fairlead.domain.workflows import WorkflowEvent

EVENTS: Mapping[Kind, Any] = {
    "tenant": TenantEvent,
    "workflow": WorkflowEvent,
    "run": RunEvent,
    "approval": ApprovalEvent,
    "breaker": BreakerEvent,
    "connection": ConnectionEvent,
    "connection_use": ConnectionUsed,
    "oauth_client": OAuthClientEvent,
    "connector": ConnectorEvent,
    "toolset": ToolsetEvent,
    "webhook": WebhookEvent,
    "switch": SwitchEvent,
    "policy": PolicyEvent,
    "prompt": PromptEvent,
    "tally": TallyEvent,
    "access": Accessed,
    "case": CaseEvent,
    "erasure": Erased,
    "retention": RetentionEvent,
    "budget": BudgetEvent,
    "expiry": ExpiryEvent,
    "route": RouteEvent,
    "residency": ResidencyEvent,
    "prices": PriceListEvent,
}
UPCASTERS: Mapping[str, Upcast] = {}
