"""Erasure of what is known about a person, or of all content of the tenant: the keys are destroyed, the proofs stay."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import PrincipalId, TenantId
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct, to_builtins

from fairlead.api.acting import Act
from fairlead.api.guards import requires
from fairlead.api.ledger import shown
from fairlead.api.parts import ApiParts
from fairlead.api.positions import MAX_WAIT_S
from fairlead.api.problems import TryAgain
from fairlead.api.runs import DataSubject
from fairlead.domain import erasures as er
from fairlead.domain.errors import Denied, Invalid, Problem
from fairlead.domain.instant import Instant
from fairlead.domain.retention import Retention
from fairlead.handling import ledgers
from fairlead.handling.legal_holds import LegalHolds

READ_MODELS = ("run_board", "run_commits", "ledger")
MOST_NAMED = 20
MOST_SHOWN = 1_000

_RUNS = """
SELECT run_id, labels,
       ended_at IS NOT NULL AND compensation NOT IN ('planned', 'under_way', 'waiting_for_person') AS over
  FROM run_board
 WHERE %(everybody)s OR (data_subject = %(data_subject)s AND data_subject <> '')
"""
_STREAMS = """
SELECT count(*) AS streams
  FROM (SELECT DISTINCT c.kind, c.stream_id
          FROM run_commits AS c
          JOIN run_board AS b ON b.tenant_id = c.tenant_id AND b.run_id = c.run_id
         WHERE %(everybody)s OR (b.data_subject = %(data_subject)s AND b.data_subject <> '')) AS about
"""


class NewErasure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a data subject, or of the whole tenant, whose id is then given once more as `confirm`."""

    reason: Annotated[
        str, Meta(min_length=1, max_length=er.MAX_REASON, description="Kept for ever: name a request, not a person.")
    ]
    data_subject: DataSubject | None = None
    tenant: bool = False
    confirm: Annotated[str, Meta(max_length=64)] | None = None


class ErasureView(Struct, frozen=True, kw_only=True):
    """The receipt. `key_ids` are the first thousand of the `keys` that were destroyed."""

    erasure_id: str
    scope: Literal["data_subject", "tenant"]
    data_subject: Annotated[str, Meta(description="As events name them: a hash.")]
    keys: int
    key_ids: list[str]
    streams: int
    ledger_head: dict[str, Any]
    reason: str
    erased_by: PrincipalId
    erased_at: Instant


class ErasureController(Controller):
    path = "/v1/erasures"
    tags = ("Erasure",)

    @post("/", opt=requires(Permission.ERASURE_WRITE, "run_board", "run_commits", "ledger"))
    async def erase(
        self, data: JSONBody[NewErasure], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> Response[ErasureView]:
        """Destroy the keys. Content is unreadable from then on, everywhere and in backups; nothing brings it back.

        Runs about the data subject must have ended, and no legal hold may keep them.
        """
        if not may(act.principal, Permission.ERASURE_WRITE):
            raise Denied(Permission.ERASURE_WRITE)
        _check_asked(data, act.tenant_id)
        erasure_id = act.new_id("ers")
        stream = er.stream_of(act.tenant_id, erasure_id)
        before = (await parts.handler.load(stream)).state
        wanted = before if isinstance(before, er.Erased) else await _erased(data, act, parts, erasure_id)
        erased = (await act.handle(stream, er.Erase(erased=wanted))).state
        assert isinstance(erased, er.Erased), "it was just decided"
        await parts.destroy(act.tenant_id, erased)
        return Response(_view(erased), status_code=201, headers={"Location": f"/v1/erasures/{erasure_id}"})

    @get("/{erasure_id:str}", opt=requires(Permission.ERASURE_READ))
    async def get_erasure(
        self, erasure_id: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> ErasureView:
        """The receipt of an erasure."""
        if not may(principal, Permission.ERASURE_READ):
            raise Denied(Permission.ERASURE_READ)
        state = (await parts.handler.load(er.stream_of(principal.tenant_id, erasure_id))).state
        if not isinstance(state, er.Erased):
            raise er.NoSuchErasure("no such erasure")
        return _view(state)


class _Run(Struct, frozen=True):
    run_id: str
    labels: dict[str, str]
    over: bool


class _Streams(Struct, frozen=True):
    streams: int


def _check_asked(data: NewErasure, tenant_id: TenantId) -> None:
    """Raises Invalid."""
    if data.tenant == (data.data_subject is not None):
        raise Invalid([Problem(path="/data_subject", message="name a data subject, or say tenant", code="scope")])
    if data.tenant and data.confirm != tenant_id:
        wrong = Problem(
            path="/confirm", message="must be the id of the tenant, whose content will be gone", code="confirm"
        )
        raise Invalid([wrong], "the erasure of a tenant is confirmed by its id")


async def _erased(data: NewErasure, act: Act, parts: ApiParts, erasure_id: str) -> er.Erased:
    """Raises ErasureHeld, RunsUnderWay, TooManyKeys, TryAgain."""
    tenant_id = act.tenant_id
    if not await parts.positions.reached(READ_MODELS, await parts.log.last_sequence(), MAX_WAIT_S):
        raise TryAgain("the read models are behind", 1)
    subject = "" if data.data_subject is None else await parts.unmasked.contents.name(tenant_id, data.data_subject)
    whom = {"everybody": data.tenant, "data_subject": subject}
    async with parts.database.tenant(tenant_id) as tx:
        runs = await tx.rows(_RUNS, whom, _Run)
        _check_held(await LegalHolds(parts.handler).of(tenant_id), runs, everything=data.tenant)
        if under_way := [run.run_id for run in runs if not run.over]:
            named = ", ".join(under_way[:MOST_NAMED])
            raise er.RunsUnderWay(f"{len(under_way)} runs have not ended: {named}")
        counted = await tx.row(_STREAMS, whom, _Streams)
        assert counted is not None, "a count is always one row"
        now, size = parts.clock.now(), await ledgers.size_of(tx)
        head = await ledgers.sign_head(tx, parts.head_keys.signer(), tenant_id, size, now)
    keys = await parts.content_keys.ids(tenant_id, None if data.tenant else subject)
    if len(keys) > er.MOST_KEYS:
        raise er.TooManyKeys(f"{len(keys)} keys; one erasure names {er.MOST_KEYS} at most")
    return er.Erased(
        erasure_id=erasure_id,
        scope="tenant" if data.tenant else "data_subject",
        data_subject=subject,
        key_ids=tuple(keys),
        streams=counted.streams,
        ledger_head=to_builtins(shown(head)),
        reason=data.reason,
        erased_by=act.principal.principal_id,
        erased_at=now,
    )


def _check_held(retention: Retention, runs: Sequence[_Run], *, everything: bool) -> None:
    if everything and retention.holds:
        raise er.ErasureHeld("a legal hold keeps content of the tenant")
    held = [run.run_id for run in runs if retention.holds_on(run.run_id, run.labels)]
    if held:
        raise er.ErasureHeld(f"a legal hold keeps {len(held)} runs: {', '.join(held[:MOST_NAMED])}")


def _view(erased: er.Erased) -> ErasureView:
    return ErasureView(
        erasure_id=erased.erasure_id,
        scope=erased.scope,
        data_subject=erased.data_subject,
        keys=len(erased.key_ids),
        key_ids=list(erased.key_ids[:MOST_SHOWN]),
        streams=erased.streams,
        ledger_head=erased.ledger_head,
        reason=erased.reason,
        erased_by=erased.erased_by,
        erased_at=erased.erased_at,
    )
