"""Answering an approval by the link in a mail. The answer is a page, and nobody is signed in.

Opening the page changes nothing, so that whatever looks through mails does no harm. Whose link it is, and what they may
do, is looked at with each request, and again when the answer is decided on.
"""

from typing import Any
from urllib.parse import parse_qs

import structlog
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from fairlead.api import approval_page as page
from fairlead.api.approval_reviewing import Reviewing, reviewing, told
from fairlead.api.bodies import ApiRequest
from fairlead.api.guards import for_anybody
from fairlead.api.metrics import Metrics
from fairlead.api.parts import ApiParts
from fairlead.api.problems import status_of
from fairlead.api.run_access import RunPlaces
from fairlead.domain import approvals as a
from fairlead.domain.accesses import Access, Accessed
from fairlead.domain.envelope import Actor, StreamRef
from fairlead.domain.errors import FairleadError
from fairlead.domain.ids import CommandId
from fairlead.domain.masking import masked
from fairlead.domain.tenants.errors import TenantUnknown
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.approval_links import MAX_LINK, LinkSays, hash_of
from fairlead.handling.handler import Cause
from fairlead.handling.telling import LINK_PATH

MAX_FORM_BYTES = 32 * 1024
OUTCOMES = {
    "granted": "The last signature is in. The call is checked once more and made.",
    "denied": "The call is not made.",
    "changes_requested": "The call is not made, and the run is told what should be otherwise.",
    "pending": "Your signature is in. Others are still needed.",
}
_log = structlog.get_logger()


class Opened(Struct, frozen=True, kw_only=True):
    """A link that is good just now."""

    link: str
    says: LinkSays
    tenant: Tenant
    pending: a.Pending
    found: Reviewing


class Form(Struct, frozen=True):
    link: str
    answer: str
    comment: str


@get(f"{LINK_PATH}{{link:str}}", opt=for_anybody(), include_in_schema=False)
async def open_link(
    link: FromPath[str], request: ApiRequest, parts: NamedDependency[ApiParts], places: NamedDependency[RunPlaces]
) -> Response[str]:
    """What is to be answered. That it was looked at is recorded before it is shown."""
    try:
        opened = await _opened(parts, places, link)
        await _record(parts, request, opened)
    except FairleadError as refused:
        return _refused(refused)
    return page.asked(_question(opened))


@post(LINK_PATH.rstrip("/"), opt=for_anybody(), include_in_schema=False, request_max_body_size=MAX_FORM_BYTES)
async def answer_by_link(
    request: ApiRequest,
    parts: NamedDependency[ApiParts],
    places: NamedDependency[RunPlaces],
    counted: NamedDependency[Metrics],
) -> Response[str]:
    """One answer of one person."""
    try:
        form = _form(await request.body())
        opened = await _opened(parts, places, form.link)
        command = _command(form, opened)
        if command is None:
            return page.asked(_question(opened), "Please say why in the comment, then answer again.", form.comment, 422)
        cause = Cause(
            actor=Actor(kind="person", id=opened.says.principal_id),
            command_id=CommandId(parts.ids.new("cmd")),
            trace_parent=request.scope["state"]["trace"].parent,
        )
        handled = await parts.handler.handle(opened.found.stream, command, cause)
        answer = await told(parts, counted, opened.found.stream, handled)
    except FairleadError as refused:
        return _refused(refused)
    return page.said("Thank you", OUTCOMES[answer.status])


async def _opened(parts: ApiParts, places: RunPlaces, link: str) -> Opened:
    """Raises LinkRefused, ApprovalSettled, and what keeps its person from answering."""
    says = parts.links.read(link)
    approval = StreamRef(says.tenant_id, "approval", says.approval_id)
    stream = StreamRef(says.tenant_id, "tenant", says.tenant_id)
    heads = await parts.log.heads([approval, stream])
    pending, tenant = [
        (await parts.handler.load(each, head)).state for each, head in zip((approval, stream), heads, strict=True)
    ]
    if isinstance(pending, a.Settled):
        raise a.ApprovalSettled(pending.outcome)
    if not isinstance(tenant, Tenant):
        raise TenantUnknown("no such tenant")
    _check(says, hash_of(link), pending, parts)
    person = principal_of(tenant, says.principal_id)
    found = await reviewing(parts, places, person, tenant, says.approval_id, says.on_behalf_of)
    found.reviewer["link_hash"] = hash_of(link)
    return Opened(link=link, says=says, tenant=tenant, pending=pending, found=found)


def _check(says: LinkSays, link_hash: str, pending: a.ApprovalState, parts: ApiParts) -> None:
    """Whether it was given out for this very question, and is not used. Raises LinkRefused."""
    if not isinstance(pending, a.Pending) or pending.told_with(link_hash) is None:
        raise a.LinkRefused
    if says.digest != pending.asked.digest or parts.clock.now() >= min(says.until, pending.asked.deadline_at):
        raise a.LinkRefused


def _form(body: bytes) -> Form:
    """Each field once. Raises LinkRefused for anything else."""
    try:
        fields = parse_qs(body.decode("ascii"), strict_parsing=False, max_num_fields=5, keep_blank_values=True)
    except ValueError:
        raise a.LinkRefused from None
    if any(len(values) != 1 for values in fields.values()) or len(fields.get("link", [""])[0]) > MAX_LINK:
        raise a.LinkRefused
    known = {name: values[0] for name, values in fields.items()}
    return Form(known.get("link", ""), known.get("answer", ""), known.get("comment", "").strip()[: a.MAX_COMMENT])


def _command(form: Form, opened: Opened) -> a.SignApproval | a.DenyApproval | a.RequestChanges | None:
    """None: the comment is missing, or no button was pressed."""
    reviewer: dict[str, Any] = opened.found.reviewer
    match form.answer:
        case "approve":
            return a.SignApproval(**reviewer, digest=opened.says.digest, comment=form.comment)
        case "deny" if form.comment:
            return a.DenyApproval(**reviewer, digest=opened.says.digest, comment=form.comment)
        case "changes" if form.comment:
            return a.RequestChanges(**reviewer, comment=form.comment)
    return None


def _question(opened: Opened) -> page.Question:
    asked, says = opened.pending.asked, opened.says
    return page.Question(
        tool=asked.tool,
        workflow=asked.workflow_name,
        reason=asked.reason,
        rule_id=asked.rule_id,
        arguments=masked("arguments", asked.arguments, asked.sensitive),
        evidence=masked("evidence", asked.evidence, asked.sensitive),
        asked_by=tuple(_name(opened.tenant, each) for each in asked.requested_by),
        signed_by=tuple(_name(opened.tenant, each) for each in opened.pending.signed_by),
        count=asked.count,
        until=f"{asked.deadline_at:%d %b %Y, %H:%M} UTC",
        you=_name(opened.tenant, says.principal_id),
        on_behalf_of=_name(opened.tenant, says.on_behalf_of) if says.on_behalf_of else None,
        digest=asked.digest,
        link=opened.link,
    )


def _name(tenant: Tenant, principal_id: Any) -> str:
    member = tenant.members.get(principal_id)
    return member.name if member is not None else str(principal_id)


async def _record(parts: ApiParts, request: ApiRequest, opened: Opened) -> None:
    """The link itself is nowhere in it."""
    accessed = Accessed(
        at=parts.clock.now(),
        access=Access.APPROVAL,
        principal_id=opened.says.principal_id,
        principal_kind="person",
        route=f"{LINK_PATH}{{link}}",
        object=f"/v1/approvals/{opened.says.approval_id}",
        trace_id=request.scope["state"]["trace"].trace_id,
    )
    await parts.audit.record(opened.says.tenant_id, accessed)


def _refused(refused: FairleadError) -> Response[str]:
    """What is settled may be told to whoever has a link of ours; of everything else only that it does not work."""
    status = status_of(type(refused))
    if status >= 500:
        _log.warning("link_failed", code=refused.code)
        return page.said("Not just now", "Something is being mended on our side. Try the same link again soon.", 503)
    _log.info("link_refused", code=refused.code)
    if isinstance(refused, a.ApprovalSettled):
        outcome = refused.outcome.replace("_", " ")
        return page.said("Already answered", f"This approval is {outcome}. Another answer changes nothing.", status)
    if isinstance(refused, a.ApprovalIsClaimed | a.AlreadySigned | a.StrongSignInNeeded):
        return page.said("Not this way", f"{str(refused).capitalize()}.", status)
    return page.said("This link does not work", "It was used, has ended, or is not yours. Sign in to see more.", status)
