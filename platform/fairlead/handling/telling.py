"""Writes to those who may answer an approval: when it is asked, when it is put before more people, and near its end.

First it is put on the approval whom it is sent to with which links; then the mails go out, each until the mail server
has taken it. A crash in between sends the same mail again, with the same link and message id, never another one.
"""

from collections import OrderedDict
from urllib.parse import urljoin

import structlog
from fairlead_tenants.ids import EnvironmentId
from msgspec import Struct

from fairlead.domain.approvals import Pending, ReviewersTold, TellReviewers, Told
from fairlead.domain.approvals.audience import Addressee, audience
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import ApprovalId
from fairlead.domain.runs.states import Active, Ended
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.approval_links import ApprovalLinks, LinkSays, hash_of
from fairlead.handling.handler import Cause, Handler
from fairlead.ports import Clock, Log, Mail, Mailer, MailRefused

LINK_PATH = "/approve/"
KEPT_SENT = 20_000

_log = structlog.get_logger()


class TellOf(Struct, frozen=True, kw_only=True):
    """`roles`: who is to be told; none: all that may answer by now."""

    notice: str
    roles: tuple[str, ...] = ()


class Telling:
    """`public_url` is where people's browsers find the API."""

    def __init__(
        self, log: Log, handler: Handler, links: ApprovalLinks, mailer: Mailer, clock: Clock, public_url: str
    ) -> None:
        self._log = log
        self._handler = handler
        self._links = links
        self._mailer = mailer
        self._clock = clock
        self._public_url = public_url
        self._sent: OrderedDict[str, None] = OrderedDict()  # by message id

    async def handle(self, approval: StreamRef, wanted: TellOf, cause: Cause) -> None:
        """Raises Unavailable while the log or the mail server does not answer: then it is begun again."""
        pending = await self._pending(approval)
        if pending is None:
            return
        tenant_stream = StreamRef(approval.tenant_id, "tenant", approval.tenant_id)
        (head,) = await self._log.heads([tenant_stream])
        tenant: Tenant = (await self._handler.load(tenant_stream, head)).state
        if wanted.notice not in pending.notices:
            command = TellReviewers(told=await self._told(approval, wanted, pending, tenant))
            pending = (await self._handler.handle(approval, command, cause)).state
        if isinstance(pending, Pending) and wanted.notice in pending.notices:
            for told in pending.notices[wanted.notice].told:
                await self._send(approval, pending, wanted.notice, told, tenant)

    async def _pending(self, approval: StreamRef) -> Pending | None:
        (head,) = await self._log.heads([approval])
        state = (await self._handler.load(approval, head)).state
        return state if isinstance(state, Pending) and self._clock.now() < state.asked.deadline_at else None

    async def _told(self, approval: StreamRef, wanted: TellOf, pending: Pending, tenant: Tenant) -> ReviewersTold:
        run = (await self._handler.load(StreamRef(approval.tenant_id, "run", pending.asked.run_id))).state
        assert isinstance(run, Active | Ended), "an approval is of a run that has begun"
        environment: EnvironmentId = (run.last if isinstance(run, Ended) else run).start.environment_id
        people = audience(pending, wanted.roles or pending.roles, environment, tenant, self._clock.now())
        told = tuple(self._issued(approval, pending, wanted.notice, each) for each in people)
        return ReviewersTold(notice=wanted.notice, told=told, until=pending.asked.deadline_at)

    def _issued(self, approval: StreamRef, pending: Pending, notice: str, to: Addressee) -> Told:
        told = Told(principal_id=to.principal_id, on_behalf_of=to.on_behalf_of)
        if pending.asked.strong_sign_in:
            return told
        link = self._link(approval, pending, notice, told)
        return Told(principal_id=to.principal_id, on_behalf_of=to.on_behalf_of, link_hash=hash_of(link))

    def _link(self, approval: StreamRef, pending: Pending, notice: str, told: Told) -> str:
        says = LinkSays(
            key_id=self._links.key_id,
            tenant_id=approval.tenant_id,
            approval_id=ApprovalId(approval.id),
            principal_id=told.principal_id,
            on_behalf_of=told.on_behalf_of,
            notice=notice,
            digest=pending.asked.digest,
            until=pending.asked.deadline_at,
        )
        return self._links.text_of(says)

    async def _send(self, approval: StreamRef, pending: Pending, notice: str, told: Told, tenant: Tenant) -> None:
        member = tenant.members.get(told.principal_id)
        key = f"{approval.id}.{notice}.{told.principal_id}"
        if member is None or member.disabled or member.email is None or key in self._sent:
            return
        link = self._link(approval, pending, notice, told) if told.link_hash is not None else None
        if link is not None and hash_of(link) != told.link_hash:
            link = None  # the key was changed since: without one, they sign in
        where = urljoin(self._public_url, f"{LINK_PATH}{link}") if link is not None else None
        try:
            await self._mailer.send(_mail(approval, pending, notice, key, member.email, where, told.on_behalf_of))
        except Unavailable as later:
            _log.warning("mail_waits", approval_id=approval.id, reason=str(later))
            raise
        except MailRefused as refused:
            _log.warning("mail_refused", approval_id=approval.id, principal_id=told.principal_id, reason=str(refused))
        self._sent[key] = None
        while len(self._sent) > KEPT_SENT:
            self._sent.popitem(last=False)


def _mail(
    approval: StreamRef, pending: Pending, notice: str, key: str, to: str, link: str | None, on_behalf_of: str | None
) -> Mail:
    """Without arguments and evidence: those are on the page, for whoever may see them."""
    asked = pending.asked
    near = "Soon too late: " if notice == "due-soon" else ""
    lines = [
        f"{asked.tool}, in a run of {asked.workflow_name}, waits for {_signatures(pending)}.",
        f"Why: {asked.reason}",
        f"Until: {asked.deadline_at:%Y-%m-%d %H:%M} UTC. What nobody has answered by then is not done.",
        *([f"You are asked because you stand in for {on_behalf_of}."] if on_behalf_of else []),
        "",
        *_ways(approval, link),
    ]
    return Mail(to=to, subject=f"{near}{asked.tool} waits for approval", text="\n".join(lines) + "\n", key=key)


def _signatures(pending: Pending) -> str:
    missing = pending.asked.count - len(pending.signed_by)
    return "a signature" if missing == 1 else f"{missing} signatures"


def _ways(approval: StreamRef, link: str | None) -> list[str]:
    by_hand = f"fairlead approval show {approval.id}"
    if link is None:
        return ["This one asks that you sign in to answer it:", f"  {by_hand}"]
    return [
        "Look at it and answer it here. The link is yours alone, and good for one answer:",
        f"  {link}",
        "",
        f"Or sign in: {by_hand}",
    ]
