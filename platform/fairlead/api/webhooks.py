"""Webhooks: what a tenant is told of, and where. Made, changed, rotated, tested, replayed, disabled, removed."""

from datetime import timedelta
from typing import Annotated, Any

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType

from fairlead.api import webhook_views as views
from fairlead.api.acting import Act
from fairlead.api.guards import check_place, requires
from fairlead.api.idempotency import SECRET
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.principals import Because
from fairlead.api.run_access import within
from fairlead.api.timeline_events import place_of
from fairlead.api.webhook_views import DeliveryStatus, DeliveryView, Status, WebhookView
from fairlead.domain.catalogue import EVENTS
from fairlead.domain.envelope import StreamRef, position
from fairlead.domain.errors import Denied, Invalid, NotFound, Problem
from fairlead.domain.ids import WebhookId, WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks import subscription as s
from fairlead.domain.webhooks.filters import MAX_PATTERNS, Filter, Pattern, problems_of
from fairlead.handling.log_times import sequence_before
from fairlead.handling.webhook_secrets import Made

LIST, DELIVERIES = "webhooks", "webhook_deliveries"
READS = requires(Permission.WEBHOOK_READ, "webhooks")
MANAGES = requires(Permission.WEBHOOK_MANAGE, "webhooks")
MAX_OVERLAP = timedelta(days=7)
DAY_S = 24 * 60 * 60
NEWEST = 2**62
Id = Annotated[str, Meta(max_length=64)]
Url = Annotated[str, Meta(max_length=s.MAX_URL, pattern=r"^https?://[!-~]+$")]
Description = Annotated[str, Meta(max_length=s.MAX_DESCRIPTION)]
Patterns = Annotated[list[Pattern], Meta(min_length=1, max_length=MAX_PATTERNS)]
OverlapSeconds = Annotated[int, Meta(ge=0, le=int(MAX_OVERLAP.total_seconds()), description="At most 7 days.")]


class NewWebhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`events` are types of events with or without their version, `run.*` for all that begin so, or `*`.

    A workspace, environment or workflow narrows to the events of runs there and of their approvals.
    """

    url: Url
    events: Patterns
    description: Description = ""
    workspace_id: Id | None = None
    environment_id: Id | None = None
    workflow_id: Id | None = None


class WebhookChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is not named stays. Where the events come from cannot be changed: make another webhook."""

    url: Url | UnsetType = UNSET
    events: Patterns | UnsetType = UNSET
    description: Description | UnsetType = UNSET


class SecretRotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For `overlap_s` what is sent carries a signature of the old secret, too."""

    overlap_s: OverlapSeconds = DAY_S


class WebhookReplay(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of them: the `position` of one event, or everything `since` a time or `after` a position."""

    position: Annotated[str, Meta(max_length=40)] | None = None
    since: Instant | None = None
    after: Annotated[str, Meta(max_length=40)] | None = None


class WebhookState(Struct, frozen=True, kw_only=True):
    """The webhook as it is told of from here on."""

    webhook_id: WebhookId
    url: str
    description: str
    events: list[str]
    workspace_id: WorkspaceId | None
    environment_id: EnvironmentId | None
    workflow_id: WorkflowId | None
    status: Status


class WebhookSecret(WebhookState, frozen=True, kw_only=True):
    """`secret` signs what is sent. It is shown in this answer only: null when the request is repeated later."""

    secret: str | None
    overlap_until: Instant | None


class WebhookAsked(Struct, frozen=True, kw_only=True):
    """`position` is that of the wish; a test event is delivered under it."""

    webhook_id: WebhookId
    position: str


class WebhookController(Controller):
    path = "/v1/webhooks"
    tags = ("Webhooks",)

    @post("/", opt=MANAGES | {SECRET: True})
    async def create_webhook(
        self, data: JSONBody[NewWebhook], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[WebhookSecret]:
        """Make a webhook. It is told of what is recorded from here on, and its secret is shown this once."""
        wanted = _filter(act, data)
        async with parts.database.read(act.tenant_id) as tx:
            if await views.count(tx) >= s.MAX_PER_TENANT:
                raise s.TooManyWebhooks(f"a tenant has at most {s.MAX_PER_TENANT} webhooks")
        webhook_id = WebhookId(act.new_id("whk"))
        made = await parts.webhook_secrets.first(act.tenant_id, webhook_id, act.command_id)
        command = s.CreateWebhook(
            url=data.url, description=data.description, filter=wanted, secret_version=made.version
        )
        state = (await act.handle(_stream(act.tenant_id, webhook_id), command)).state
        headers = {"Location": f"/v1/webhooks/{webhook_id}"}
        return Response(_with_secret(webhook_id, state, made), status_code=201, headers=headers)

    @get("/", opt=READS)
    async def list_webhooks(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        status: Annotated[Status | None, QueryParameter(name="status")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[WebhookView]:
        """Those that the principal may see, in the order in which they were made."""
        start = after(cursor, LIST, principal.tenant_id, int) or 0
        where = within(principal, Permission.WEBHOOK_READ)
        async with parts.database.read(principal.tenant_id) as tx:
            rows = await views.listed(tx, where, status, start, limit + 1)
        found = page(rows, limit, LIST, principal.tenant_id, lambda row: row.created_sequence)
        return Page([row.view() for row in found.items], found.next_cursor)

    @get("/{webhook_id:str}", opt=READS)
    async def get_webhook(
        self, webhook_id: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> WebhookView:
        """One webhook, how it fares and how much waits for it."""
        return (await _readable(parts, principal, webhook_id)).view()

    @patch("/{webhook_id:str}", opt=MANAGES)
    async def change_webhook(
        self,
        webhook_id: FromPath[str],
        data: JSONBody[WebhookChange],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> WebhookState:
        """Change address, description or events. What waits goes to the new address."""
        stream, now = await _managed(parts, act, webhook_id)
        events = now.filter.events if data.events is UNSET else tuple(data.events)
        _check_events(events)
        command = s.ChangeWebhook(
            url=now.url if data.url is UNSET else data.url,
            description=now.description if data.description is UNSET else data.description,
            filter=Filter(
                events=events,
                workspace_id=now.filter.workspace_id,
                environment_id=now.filter.environment_id,
                workflow_id=now.filter.workflow_id,
            ),
        )
        return _state(WebhookId(webhook_id), (await act.handle(stream, command)).state)

    @post("/{webhook_id:str}/rotate", opt=MANAGES | {SECRET: True})
    async def rotate_webhook_secret(
        self,
        webhook_id: FromPath[str],
        data: JSONBody[SecretRotation],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> Response[WebhookSecret]:
        """Make the secret's successor. For the overlap what is sent is signed by both."""
        stream, _ = await _managed(parts, act, webhook_id)
        known = WebhookId(webhook_id)
        overlap = timedelta(seconds=data.overlap_s)
        made = await parts.webhook_secrets.next(act.tenant_id, known, act.command_id, overlap)
        until = made.overlap_until or parts.clock.now()
        command = s.RotateWebhookSecret(secret_version=made.version, overlap_until=until)
        state = (await act.handle(stream, command)).state
        return Response(_with_secret(known, state, made), status_code=201)

    @post("/{webhook_id:str}/test", status_code=202, opt=MANAGES)
    async def send_test_event(
        self, webhook_id: FromPath[str], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> WebhookAsked:
        """Send an event of the type `webhook.test_requested.v1`, whatever the webhook is told of otherwise."""
        stream, _ = await _managed(parts, act, webhook_id)
        handled = await act.handle(stream, s.SendTestEvent())
        return WebhookAsked(webhook_id=WebhookId(webhook_id), position=position(handled.sequence, 0))

    @post("/{webhook_id:str}/replay", status_code=202, opt=MANAGES)
    async def replay_webhook(
        self,
        webhook_id: FromPath[str],
        data: JSONBody[WebhookReplay],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> WebhookAsked:
        """Send one event, or everything since a time or a position, again, under the `webhook-id` of the first time."""
        stream, _ = await _managed(parts, act, webhook_id)
        handled = await act.handle(stream, await _replay(parts, data))
        return WebhookAsked(webhook_id=WebhookId(webhook_id), position=position(handled.sequence, 0))

    @post("/{webhook_id:str}/disable", status_code=200, opt=MANAGES)
    async def disable_webhook(
        self,
        webhook_id: FromPath[str],
        data: JSONBody[Because],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> WebhookState:
        """Send nothing until it is enabled again. What is recorded meanwhile waits."""
        stream, _ = await _managed(parts, act, webhook_id)
        command = s.DisableWebhook(by="person", reason=data.reason)
        return _state(WebhookId(webhook_id), (await act.handle(stream, command)).state)

    @post("/{webhook_id:str}/enable", status_code=200, opt=MANAGES)
    async def enable_webhook(
        self, webhook_id: FromPath[str], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> WebhookState:
        """Go on where it stood."""
        stream, _ = await _managed(parts, act, webhook_id)
        return _state(WebhookId(webhook_id), (await act.handle(stream, s.EnableWebhook())).state)

    @delete("/{webhook_id:str}", opt=MANAGES, status_code=204)
    async def remove_webhook(
        self,
        webhook_id: FromPath[str],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        reason: Annotated[str, QueryParameter(name="reason", min_length=1, max_length=s.MAX_REASON)] = "removed",
    ) -> None:
        """For good. Its secret is erased, and what waits is not sent."""
        stream, _ = await _managed(parts, act, webhook_id)
        await act.handle(stream, s.RemoveWebhook(reason=reason))
        await parts.webhook_secrets.erase(act.tenant_id, WebhookId(webhook_id))

    @get("/{webhook_id:str}/deliveries", opt=READS)
    async def list_deliveries(
        self,
        webhook_id: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        status: Annotated[DeliveryStatus | None, QueryParameter(name="status")] = None,
        event: Annotated[
            str | None, QueryParameter(name="position", max_length=40, description="Only of this event.")
        ] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[DeliveryView]:
        """What waits and what was sent, the newest first. Of what is over the last 5,000 are listed."""
        await _readable(parts, principal, webhook_id)
        name = f"{DELIVERIES}/{webhook_id}"
        place = place_of(event, "position") if event else None
        wanted = views.Deliveries(
            webhook_id=webhook_id,
            before=after(cursor, name, principal.tenant_id, int) or NEWEST,
            limit=limit + 1,
            status=status,
            sequence=place.sequence if place else None,
            index=place.index if place else None,
        )
        async with parts.database.read(principal.tenant_id) as tx:
            rows = await views.deliveries(tx, wanted)
        found = page(rows, limit, name, principal.tenant_id, lambda row: row.number)
        return Page([row.view() for row in found.items], found.next_cursor)


async def _managed(parts: ApiParts, act: Act, webhook_id: str) -> tuple[StreamRef, s.Subscription]:
    """From the log, as of now, for one who may manage it. Raises NoSuchWebhook, Denied."""
    stream = _stream(act.tenant_id, WebhookId(webhook_id))
    state = (await parts.handler.load(stream)).state
    if not isinstance(state, s.Subscription):
        raise s.NoSuchWebhook("no such webhook")
    try:
        _check_may_tell(act.principal, state.filter)
    except NotFound:
        raise s.NoSuchWebhook("no such webhook") from None
    return stream, state


async def _readable(parts: ApiParts, principal: Principal, webhook_id: str) -> views.Row:
    """From the read model. Raises NoSuchWebhook."""
    async with parts.database.read(principal.tenant_id) as tx:
        row = await views.webhook(tx, webhook_id)
    if row is None or not may(principal, Permission.WEBHOOK_READ, row.workspace_id, row.environment_id):
        raise s.NoSuchWebhook("no such webhook")
    return row


def _filter(act: Act, data: NewWebhook) -> Filter:
    """Raises Invalid, Denied."""
    tenant = act.tenant
    problems = []
    if data.workspace_id is not None and data.workspace_id not in tenant.workspaces:
        problems.append(Problem(path="/workspace_id", message="no such workspace", code="workspace_not_found"))
    if data.environment_id is not None and data.environment_id not in tenant.environments:
        problems.append(Problem(path="/environment_id", message="no such environment", code="environment_not_found"))
    if problems:
        raise Invalid(problems, "the webhook cannot be made")
    wanted = Filter(
        events=tuple(dict.fromkeys(data.events)),
        workspace_id=None if data.workspace_id is None else WorkspaceId(data.workspace_id),
        environment_id=None if data.environment_id is None else EnvironmentId(data.environment_id),
        workflow_id=None if data.workflow_id is None else WorkflowId(data.workflow_id),
    )
    _check_may_tell(act.principal, wanted)
    _check_events(wanted.events)
    return wanted


def _check_may_tell(principal: Principal, wanted: Filter) -> None:
    """A webhook carries away what its maker may export, and of the whole tenant only what they may audit.

    Raises NotFound, Denied.
    """
    place = wanted.workspace_id, wanted.environment_id
    check_place(principal, Permission.WEBHOOK_MANAGE, Permission.WEBHOOK_READ, *place)
    needed = [Permission.EXPORT_READ] if wanted.is_placed else [Permission.EXPORT_READ, Permission.AUDIT_READ]
    for permission in needed:
        if not may(principal, permission, *place):
            raise Denied(permission)


def _check_events(events: tuple[str, ...]) -> None:
    problems = problems_of(events, EVENTS)
    if problems:
        raise Invalid(problems, "the webhook would be told of nothing")


async def _replay(parts: ApiParts, data: WebhookReplay) -> s.ReplayWebhook | s.RedeliverEvent:
    """Raises Invalid."""
    match data:
        case WebhookReplay(position=str(one), since=None, after=None):
            place = place_of(one, "position")
            return s.RedeliverEvent(sequence=place.sequence, index=place.index)
        case WebhookReplay(position=None, since=None, after=str(past)):
            return s.ReplayWebhook(after_sequence=place_of(past, "after").sequence)
        case WebhookReplay(position=None, after=None, since=since) if since is not None:
            return s.ReplayWebhook(after_sequence=await sequence_before(parts.log, since), since=since)
    problem = Problem(path="", message="name one of position, since and after", code="choose_one")
    raise Invalid([problem], "it is not clear what to send again")


def _stream(tenant_id: TenantId, webhook_id: WebhookId) -> StreamRef:
    return StreamRef(tenant_id, "webhook", webhook_id)


def _fields(webhook_id: WebhookId, state: s.Subscription) -> dict[str, Any]:
    return {
        "webhook_id": webhook_id,
        "url": state.url,
        "description": state.description,
        "events": list(state.filter.events),
        "workspace_id": state.filter.workspace_id,
        "environment_id": state.filter.environment_id,
        "workflow_id": state.filter.workflow_id,
        "status": "enabled" if state.is_enabled else "disabled",
    }


def _state(webhook_id: WebhookId, state: s.Subscription) -> WebhookState:
    return WebhookState(**_fields(webhook_id, state))


def _with_secret(webhook_id: WebhookId, state: s.Subscription, made: Made) -> WebhookSecret:
    return WebhookSecret(**_fields(webhook_id, state), secret=made.text, overlap_until=made.overlap_until)
