"""Which reading is recorded, as data: each path that answers to GET says whether it is an access to a tenant's data.

None is for what tells nothing of what a tenant does: how it is set up, what there is to be used, and how we fare. The
application does not start with a path that is not here.
"""

from collections.abc import Mapping
from urllib.parse import unquote_plus

from litestar.types import HTTPScope, Message, Send

from fairlead.api.authentication import SignedIn
from fairlead.api.looking import LOOKS
from fairlead.domain.accesses import MAX_OBJECT, MAX_QUERY, Access, Accessed
from fairlead.domain.redaction import redact_text
from fairlead.handling.access_audit import AccessAudit
from fairlead.ports import Clock

READ, SEARCH, EXPORT, APPROVAL, FOLLOW = Access.READ, Access.SEARCH, Access.EXPORT, Access.APPROVAL, Access.FOLLOW
UNMASKED = Access.UNMASKED

AUDITED: Mapping[str, Access | None] = {
    "/approve/{link}": None,  # it records for itself: nobody is signed in there
    "/healthz": None,
    "/metrics": None,
    "/openai/v1/models": None,
    "/openapi.json": None,
    "/readyz": None,
    "/v1/access": SEARCH,
    "/v1/access/export": EXPORT,
    "/v1/approvals": SEARCH,
    "/v1/approvals/{approval_id}": APPROVAL,
    "/v1/approvals/{approval_id}/unmasked": UNMASKED,
    "/v1/breakers": None,
    "/v1/budget-zone": None,
    "/v1/budgets": None,
    "/v1/budgets/{name}": None,
    "/v1/cases": SEARCH,
    "/v1/cases/{case_id}": READ,
    "/v1/cases/{case_id}/bundle": EXPORT,
    "/v1/connections": SEARCH,
    "/v1/connections/{connection_id}": READ,
    "/v1/connections/{connection_id}/uses": SEARCH,
    "/v1/connectors": None,
    "/v1/connectors/{name}": None,
    "/v1/dead-letters": SEARCH,
    "/v1/dead-letters/{letter_id}": READ,
    "/v1/delegations": None,
    "/v1/delegations/{delegation_id}": None,
    "/v1/environments": None,
    "/v1/environments/{environment_id}": None,
    "/v1/events": FOLLOW,
    "/v1/exports/events": EXPORT,
    "/v1/holds": SEARCH,
    "/v1/holds/{hold_id}": READ,
    "/v1/erasures/{erasure_id}": READ,
    "/v1/keys": SEARCH,
    "/v1/keys/{key_id}": READ,
    "/v1/ledger/head": None,
    "/v1/ledger/heads": None,
    "/v1/ledger/keys": None,
    "/v1/ledger/proofs/consistency": None,
    "/v1/ledger/proofs/inclusion": None,
    "/v1/me": None,
    "/v1/oauth-clients": SEARCH,
    "/v1/oauth/callback": None,
    "/v1/policies": SEARCH,
    "/v1/policies/review-share": SEARCH,
    "/v1/policies/{policy}": READ,
    "/v1/policies/{policy}/effect": None,
    "/v1/policies/{policy}/versions": SEARCH,
    "/v1/policies/{policy}/versions/{version}": READ,
    "/v1/policies/{policy}/versions/{version}/difference": READ,
    "/v1/policies/{policy}/versions/{version}/simulation": READ,
    "/v1/prices": READ,
    "/v1/prices/lookup": None,
    "/v1/prices/versions": SEARCH,
    "/v1/prices/versions/{version}": READ,
    "/v1/prices/versions/{version}/difference": READ,
    "/v1/principals": SEARCH,
    "/v1/principals/{principal_id}": READ,
    "/v1/retention": None,
    "/v1/reports/costs": SEARCH,
    "/v1/reports/costs/export": EXPORT,
    "/v1/reports/margins": SEARCH,
    "/v1/reports/margins/export": EXPORT,
    "/v1/reports/oversight": SEARCH,
    "/v1/reports/oversight/export": EXPORT,
    "/v1/residency": None,
    "/v1/prompts": SEARCH,
    "/v1/prompts/{prompt}": READ,
    "/v1/prompts/{prompt}/versions": SEARCH,
    "/v1/prompts/{prompt}/versions/{version}": READ,
    "/v1/prompts/{prompt}/versions/{version}/difference": READ,
    "/v1/routes": SEARCH,
    "/v1/routes/{route}": READ,
    "/v1/routes/{route}/versions": SEARCH,
    "/v1/routes/{route}/versions/{version}": READ,
    "/v1/routes/{route}/versions/{version}/difference": READ,
    "/v1/reports/success-costs": SEARCH,
    "/v1/reports/success-costs/export": EXPORT,
    "/v1/runs": SEARCH,
    "/v1/runs/{run_id}": READ,
    "/v1/runs/{run_id}/bundle": EXPORT,
    "/v1/runs/{run_id}/events": FOLLOW,
    "/v1/runs/{run_id}/export": EXPORT,
    "/v1/runs/{run_id}/questions": READ,
    "/v1/runs/{run_id}/state": READ,
    "/v1/runs/{run_id}/timeline": READ,
    "/v1/runs/{run_id}/tool-calls": READ,
    "/v1/runs/{run_id}/tool-calls/{call_id}": None,  # told to nobody but whoever asked for the call
    "/v1/runs/{run_id}/tools": None,
    "/v1/runs/{run_id}/model-calls/{call_id}/why": READ,
    "/v1/runs/{run_id}/why": READ,
    "/v1/schemas/timeline": None,
    "/v1/schemas/workflow": None,
    "/v1/switches": None,
    "/v1/switches/drills": None,
    "/v1/switches/{target}": None,
    "/v1/tenant": None,
    "/v1/tool-calls/{call_id}": READ,
    "/v1/tool-calls/{call_id}/why": READ,
    "/v1/tools": None,
    "/v1/tools/{name}": None,
    "/v1/toolsets": None,
    "/v1/toolsets/{name}": None,
    "/v1/toolsets/{name}/versions": None,
    "/v1/toolsets/{name}/versions/{version}": None,
    "/v1/webhooks": SEARCH,
    "/v1/webhooks/{webhook_id}": READ,
    "/v1/webhooks/{webhook_id}/deliveries": SEARCH,
    "/v1/workflows": SEARCH,
    "/v1/workflows/{workflow}": READ,
    "/v1/workflows/{workflow}/versions": SEARCH,
    "/v1/workflows/{workflow}/versions/{version}": READ,
    "/v1/workspaces": None,
    "/v1/workspaces/{workspace_id}": None,
}


class Recorded:
    """Sends an answer once it is recorded that somebody is given it. Refusals show nothing, and are not recorded."""

    def __init__(self, audit: AccessAudit, clock: Clock, scope: HTTPScope, who: SignedIn, send: Send) -> None:
        self._audit = audit
        self._clock = clock
        self._scope = scope
        self._who = who
        self._send = send

    async def send(self, message: Message) -> None:
        """Raises AccessNotRecorded before anything is sent."""
        if message["type"] == "http.response.start" and message["status"] < 400:
            await self._audit.record(self._who.principal.tenant_id, self._accessed())
        await self._send(message)

    def _accessed(self) -> Accessed:
        scope, principal = self._scope, self._who.principal
        route = scope["path_template"]
        access = UNMASKED if scope["state"].get(LOOKS) else AUDITED[route]
        assert access is not None, "only what is recorded comes here"
        return Accessed(
            at=self._clock.now(),
            access=access,
            principal_id=principal.principal_id,
            principal_kind=principal.kind,
            route=route,
            object=redact_text(scope["path"])[:MAX_OBJECT],
            query=redact_text(unquote_plus(scope["query_string"].decode("latin-1")))[:MAX_QUERY],
            key_id=principal.key_id,
            environment_id=principal.environment_id,
            trace_id=scope["state"]["trace"].trace_id,
        )


def is_recorded(scope: HTTPScope) -> bool:
    return scope["method"] in ("GET", "HEAD") and AUDITED.get(scope.get("path_template", "")) is not None
