"""Tools that stage invoices and credit notes for the ledger, and that record rejections.

A caller's figures are never believed: the document and the order are read again under a lock, and what rules and
reviewers judged must be what they say.
"""

from typing import Any

from fairlead_sdk import BadArguments, Call, Effect, Idempotency, Refused, Tool, tool
from msgspec import Struct, json, structs
from psycopg.errors import UniqueViolation

from fairlead_invoices import order_records, staging_records
from fairlead_invoices.comparing import compare
from fairlead_invoices.database import Connection, Database
from fairlead_invoices.document import Document, Kind
from fairlead_invoices.document_tools import extracted
from fairlead_invoices.order import Comparison, Order
from fairlead_invoices.requests import RecordRejection, Rejection, StagedDocument, StageDocument


class _Facts(Struct, frozen=True, kw_only=True):
    document: Document
    order: Order
    comparison: Comparison


class StagingTools:
    def __init__(self, database: Database) -> None:
        self._database = database

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        stage_invoice = tool(
            "invoices.stage_invoice",
            title="Stage an invoice",
            effect=Effect.WRITE,
            idempotency=Idempotency.KEY,
            timeout_s=20.0,
            scopes=("invoices:write",),
            writes=("staged_invoice",),
            verify=self.verify_staged,
            preview=self.preview_invoice,
        )(self.stage_invoice)
        stage_credit = tool(
            "invoices.stage_credit",
            title="Stage a credit note",
            effect=Effect.WRITE,
            idempotency=Idempotency.KEY,
            timeout_s=20.0,
            scopes=("invoices:write",),
            writes=("staged_credit",),
            verify=self.verify_staged,
            preview=self.preview_credit,
        )(self.stage_credit)
        record_rejection = tool(
            "invoices.record_rejection",
            title="Record a rejection",
            effect=Effect.WRITE,
            idempotency=Idempotency.KEY,
            timeout_s=10.0,
            scopes=("invoices:write",),
            writes=("rejection",),
            verify=self.verify_rejection,
        )(self.record_rejection)
        return stage_invoice, stage_credit, record_rejection

    async def stage_invoice(self, arguments: StageDocument, call: Call) -> StagedDocument:
        """Put an invoice where the ledger will fetch it, once. Refuses a duplicate and arguments that are not what the
        document and the order say."""
        return await self._stage("invoice", arguments, call)

    async def stage_credit(self, arguments: StageDocument, call: Call) -> StagedDocument:
        """Put a credit note where the ledger will fetch it, once. Refuses what `stage_invoice` refuses, an invoice that
        was never staged, and a credit past what was billed."""
        return await self._stage("credit_note", arguments, call)

    async def verify_staged(self, arguments: StageDocument, call: Call) -> StagedDocument | None:
        done = await self._database.read_back(call, staging_records.staged_by_key)
        return _same(done, arguments) if done else None

    async def preview_invoice(self, arguments: StageDocument, call: Call) -> dict[str, Any]:
        return await self._preview("invoice", arguments, call)

    async def preview_credit(self, arguments: StageDocument, call: Call) -> dict[str, Any]:
        return await self._preview("credit_note", arguments, call)

    async def record_rejection(self, arguments: RecordRejection, call: Call) -> Rejection:
        """Write down that a document is not accepted, by whom it was sent and why. Named with its `staged_id` it is
        withdrawn from the ledger as well, unless a payment is staged for it."""

        async def work(connection: Connection) -> Rejection:
            await staging_records.lock(connection, call.idempotency_key)
            if done := await staging_records.rejection_by_key(connection, call.idempotency_key):
                return done
            if arguments.staged_id is not None:
                await _withdraw(connection, arguments.staged_id, arguments.document)
            return await staging_records.insert_rejection(connection, call.idempotency_key, arguments)

        return await self._database.write(call, work)

    async def verify_rejection(self, arguments: RecordRejection, call: Call) -> Rejection | None:  # noqa: ARG002
        return await self._database.read_back(call, staging_records.rejection_by_key)

    async def _stage(self, kind: Kind, arguments: StageDocument, call: Call) -> StagedDocument:
        document = await extracted(call, arguments.document)

        async def work(connection: Connection) -> StagedDocument:
            await order_records.lock_order(connection, arguments.order_number)
            await staging_records.lock(connection, document.seller_id)
            if done := await staging_records.staged_by_key(connection, call.idempotency_key):
                return _same(done, arguments)
            facts = await _facts(connection, kind, arguments, document)
            return await staging_records.insert(
                connection, call.idempotency_key, facts.document, facts.order, facts.comparison
            )

        try:
            return await self._database.write(call, work)
        except UniqueViolation:
            raise _duplicate() from None

    async def _preview(self, kind: Kind, arguments: StageDocument, call: Call) -> dict[str, Any]:
        document = await extracted(call, arguments.document)

        async def work(connection: Connection) -> _Facts:
            await order_records.use_snapshot(connection)
            return await _facts(connection, kind, arguments, document)

        facts = await self._database.read(call, work)
        sign = -1 if kind == "credit_note" else 1
        before = facts.order.invoiced_minor
        after = before + sign * document.totals.tax_exclusive_minor
        return {
            "before": {"staged": False, "order_invoiced_minor": before},
            "after": {"staged": True, "order_invoiced_minor": after, "payable_minor": document.totals.payable_minor},
            "evidence": plain(facts),
        }


def _same(done: StagedDocument, asked: StageDocument) -> StagedDocument:
    """A key that was used for another document answers for none."""
    if (done.seller_id, done.number, done.order_number) != (asked.seller_id, asked.number, asked.order_number):
        raise Refused("this key staged another document", code="key_reused")
    return done


async def _facts(connection: Connection, kind: Kind, arguments: StageDocument, document: Document) -> _Facts:
    """What would be staged. Refuses everything that `stage_…` refuses."""
    if document.kind != kind:
        raise Refused(f"the document is not of the kind {kind}", code="wrong_kind")
    if await staging_records.staged_by_number(connection, document.seller_id, kind, document.number):
        raise _duplicate()
    order = await order_records.read_order(connection, arguments.order_number)
    if order is None:
        raise Refused("there is no such order", code="order_not_found")
    comparison = compare(document, order)
    _check_agreement(arguments, document, comparison)
    if kind == "credit_note":
        await _check_credit(connection, document)
    return _Facts(document=document, order=order, comparison=comparison)


def _check_agreement(arguments: StageDocument, document: Document, comparison: Comparison) -> None:
    """Raises Refused arguments_disagree, with the names and never the values."""
    facts = StageDocument(
        document=document.sha256,
        order_number=arguments.order_number,
        seller_id=document.seller_id,
        seller_name=document.seller.name,
        number=document.number,
        issue_date=document.issue_date,
        currency=document.currency,
        payable_minor=document.totals.payable_minor,
        total_variance_minor=comparison.total_variance_minor,
        absolute_variance_minor=comparison.absolute_variance_minor,
        variance_bp=comparison.variance_bp,
        concerns=comparison.concerns,
    )
    refuse_disagreement(arguments, structs.asdict(facts))


def plain(facts: Struct) -> Any:
    """As JSON gives it, for a preview: lists, no tuples."""
    return json.decode(json.encode(facts))


def refuse_disagreement(arguments: Struct, facts: dict[str, Any]) -> None:
    wrong = [name for name, value in facts.items() if getattr(arguments, name) != value]
    if wrong:
        message = f"not what the document and the order say now: {', '.join(wrong)}"
        raise Refused(message, code="arguments_disagree")


async def _check_credit(connection: Connection, document: Document) -> None:
    """A credit note that names no invoice is for people to judge: comparing has a concern for it."""
    numbers = document.preceding_invoices
    if not numbers:
        return
    known = await staging_records.preceding(connection, document.seller_id, document.currency, numbers)
    if known.found < len(set(numbers)):
        raise Refused("an invoice that is credited was never staged", code="preceding_invoice_unknown")
    if known.credited + document.totals.payable_minor > known.billed:
        raise Refused("more would be credited than was billed", code="credit_exceeds_invoice")


async def _withdraw(connection: Connection, staged_id: int, document: str) -> None:
    entry = await staging_records.entry(connection, staged_id)
    if entry is None:
        raise BadArguments("nothing is staged under this id", code="staged_not_found")
    await staging_records.lock(connection, entry.seller_id)
    if not await staging_records.withdraw(connection, staged_id, document):
        raise Refused("it is withdrawn already, of another document, or has a payment", code="not_withdrawable")


def _duplicate() -> Refused:
    return Refused("a document of this seller and number is staged already", code="duplicate_document")
