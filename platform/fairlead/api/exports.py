"""Exports: one run, or everything in a span of time, in constant memory and resumable after any event."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, NamedTuple

import structlog
from fairlead_tenants.access import Permission, Principal
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from msgspec import to_builtins

from fairlead.api.commit_pages import LAST, OF_RUN, OF_TIME, Read, at_of, folded_up_to, pages
from fairlead.api.export_csv import CsvWriter
from fairlead.api.export_formats import (
    MEDIA_TYPES,
    SUFFIXES,
    Format,
    JsonWriter,
    NdjsonWriter,
    ProofWriter,
    Scope,
    Writer,
)
from fairlead.api.export_proofs import (
    SIZE_HEADER,
    HeadSize,
    Proven,
    Prover,
    ReceiptSize,
    WithProofs,
    proven_up_to,
    with_end,
)
from fairlead.api.guards import FILES, requires
from fairlead.api.looking import Looking
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import find_place, reader
from fairlead.api.runs import aware
from fairlead.api.timeline_events import START, CommitRow, Place, events_of, place_of
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.subjects import token
from fairlead.ports import SqlTx

After = Annotated[
    str | None,
    QueryParameter(name="after", max_length=40, description="Position of the last event of the part before."),
]
As = Annotated[Format, QueryParameter(name="format")]
EXPORTS = requires(Permission.EXPORT_READ, "run_board", "run_commits") | {
    FILES: tuple(dict.fromkeys(MEDIA_TYPES.values()))
}

_STAMP = "%Y%m%dT%H%M%SZ"
_log = structlog.get_logger()


@get("/v1/runs/{run_id:str}/export", opt=EXPORTS, tags=["Exports"])
async def export_run(
    run_id: FromPath[str],
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    looking: NamedDependency[Looking],
    form: As = "json",
    after: After = None,
    proofs: WithProofs = True,
    head: HeadSize = None,
    receipt: ReceiptSize = None,
) -> Stream:
    """A run's timeline as a file. The JSON fits the published schema `timeline.schema.json`.

    With proofs it goes as far as the ledger does, and `fairlead ledger verify` says whether it was changed since.
    """
    looking.check(await find_place(parts, principal, run_id, Permission.EXPORT_READ))
    read, now = reader(parts, principal.tenant_id), parts.clock.now()
    start = START if after is None else place_of(after)
    proven = None
    if proofs or form == "proof":
        async with read() as tx:
            folded = await folded_up_to(tx)
        proven = await proven_up_to(parts, read, principal.tenant_id, folded, head, receipt)
    where = {"run_id": run_id, "to_sequence": proven.to_sequence if proven else LAST}
    found = pages(read, OF_RUN, where, start.sequence, looking.show_to_prove)
    export = Export(found, start, Scope(run_id=run_id, after=after), form)
    return export.as_file(run_id, now, principal, read, proven)


@get("/v1/exports/events", opt=EXPORTS, tags=["Exports"])
async def export_events(
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    looking: NamedDependency[Looking],
    from_at: Annotated[datetime, QueryParameter(name="from", description="Events recorded from this moment on.")],
    to_at: Annotated[datetime | None, QueryParameter(name="to", description="Exclusive; now without.")] = None,
    form: As = "ndjson",
    workflow: Annotated[str | None, QueryParameter(name="workflow_id", max_length=64)] = None,
    after: After = None,
    proofs: WithProofs = True,
    head: HeadSize = None,
    receipt: ReceiptSize = None,
) -> Stream:
    """Every event of runs and approvals in a span of time, in the order of the times at which they were recorded.

    Events may still be joining a span that reaches into the present; none joins one that ended a minute ago.
    """
    now = parts.clock.now()
    span = Span(aware(from_at, "from"), now if to_at is None else aware(to_at, "to"))
    read, start = reader(parts, principal.tenant_id), START if after is None else place_of(after)
    async with read() as tx:
        begin_at = span.begin if after is None else await _resumed_at(tx, start, span)
        folded = await folded_up_to(tx)
    proven = None
    if proofs or form == "proof":
        proven = await proven_up_to(parts, read, principal.tenant_id, folded, head, receipt)
        folded = proven.to_sequence
    asked = {"from_at": begin_at, "to_at": span.end, "to_sequence": folded, "workflow": workflow}
    where = looking.within(Permission.EXPORT_READ).as_params()
    scope = Scope(from_=span.begin, to=span.end, workflow_id=workflow, after=after)
    found = pages(read, OF_TIME, where | asked, start.sequence, looking.show_to_prove)
    export = Export(found, start, scope, form)
    return export.as_file(f"events-{span.begin:{_STAMP}}-{span.end:{_STAMP}}", now, principal, read, proven)


class Span(NamedTuple):
    begin: datetime
    end: datetime


class Export:
    """The events of these pages past `start`, in one of the formats."""

    def __init__(self, found: AsyncIterator[list[CommitRow]], start: Place, scope: Scope, form: Format) -> None:
        self._pages = found
        self._start = start
        self._scope = scope
        self._form = form

    def as_file(self, name: str, now: datetime, principal: Principal, read: Read, proven: Proven | None) -> Stream:
        _log.info(
            "export_begun",
            tenant_id=principal.tenant_id,
            principal_id=principal.principal_id,
            scope=to_builtins(self._scope),
            format=self._form,
        )
        headers = {"Content-Disposition": f'attachment; filename="{token(name)}.{SUFFIXES[self._form]}"'}
        prover = None
        if proven is not None:
            headers[SIZE_HEADER] = str(proven.head.size)
            prover = Prover(read, proven, self._scope.as_signed(), now, self._scope.after)
        return Stream(self.written(self._writer(now), prover), media_type=MEDIA_TYPES[self._form], headers=headers)

    def _writer(self, now: datetime) -> Writer:
        match self._form:
            case "json":
                return JsonWriter(self._scope, now)
            case "ndjson":
                return NdjsonWriter()
            case "csv":
                return CsvWriter(goes_on=self._scope.after is not None)
            case "proof":
                return ProofWriter()

    async def written(self, writer: Writer, prover: Prover | None) -> AsyncIterator[bytes]:
        """When the database goes away on the way the connection breaks: nobody takes a part for the whole."""
        count = 0
        yield writer.begin()
        async for rows, end in with_end(self._pages):
            if events := [event for row in rows for event in events_of(row, self._start, checkable=True)]:
                count += len(events)
                proof = None
                if prover is not None and writer.shows_proof:
                    proof = await prover.block(rows, events[-1].position, end=end)
                yield writer.batch(events, proof)
        yield writer.end()
        _log.info("export_ended", events=count)


async def _resumed_at(tx: SqlTx, start: Place, span: Span) -> datetime:
    at = await at_of(tx, start.sequence)
    if at is None or not span.begin <= at < span.end:
        raise Invalid([Problem(path="/after", message="no event of this export is there")], "no such position")
    return at
