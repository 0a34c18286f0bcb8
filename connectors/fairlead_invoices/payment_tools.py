"""The payment executor of the reference workflow. It only stages: there is no code here that could send money."""

from typing import Any

from fairlead_sdk import Call, Effect, Idempotency, Refused, Tool, tool
from msgspec import Struct
from psycopg.errors import UniqueViolation

from fairlead_invoices import order_records, staging_records
from fairlead_invoices.database import Connection, Database
from fairlead_invoices.document import Document
from fairlead_invoices.document_tools import extracted
from fairlead_invoices.order import Order
from fairlead_invoices.requests import StagedPayment, StagePayment
from fairlead_invoices.staging_records import Entry
from fairlead_invoices.staging_tools import plain, refuse_disagreement


class _Facts(Struct, frozen=True, kw_only=True):
    """`credited_minor` is what staged credit notes take off this invoice."""

    document: Document
    order: Order | None
    staged: Entry
    credited_minor: int


class PaymentTools:
    def __init__(self, database: Database) -> None:
        self._database = database

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        stage_payment = tool(
            "invoices.stage_payment",
            title="Stage a payment",
            effect=Effect.WRITE,
            idempotency=Idempotency.KEY,
            timeout_s=20.0,
            scopes=("payments:write",),
            writes=("staged_payment",),
            verify=self.verify_payment,
            preview=self.preview_payment,
        )(self.stage_payment)
        return (stage_payment,)

    async def stage_payment(self, arguments: StagePayment, call: Call) -> StagedPayment:
        """Prepare the payment of a staged invoice, once, for people to send by other means. The amount is at most what
        is due less what was credited, and the account is one that the invoice names."""
        document = await extracted(call, arguments.document)

        async def work(connection: Connection) -> StagedPayment:
            await staging_records.lock(connection, document.seller_id)
            if done := await staging_records.payment_by_key(connection, call.idempotency_key):
                return _same(done, arguments)
            await _facts(connection, arguments, document)
            return await staging_records.insert_payment(connection, call.idempotency_key, arguments)

        try:
            return await self._database.write(call, work)
        except UniqueViolation:
            raise _paid() from None

    async def verify_payment(self, arguments: StagePayment, call: Call) -> StagedPayment | None:
        done = await self._database.read_back(call, staging_records.payment_by_key)
        return _same(done, arguments) if done else None

    async def preview_payment(self, arguments: StagePayment, call: Call) -> dict[str, Any]:
        """The invoice as it was staged, its document and its order."""
        document = await extracted(call, arguments.document)

        async def work(connection: Connection) -> _Facts:
            await order_records.use_snapshot(connection)
            return await _facts(connection, arguments, document)

        facts = await self._database.read(call, work)
        open_minor = facts.staged.payable_minor - facts.credited_minor
        return {
            "before": {"payment": None, "open_minor": open_minor},
            "after": {
                "payment": {"amount_minor": arguments.amount_minor, "iban": arguments.iban, "status": "staged"},
                "open_minor": open_minor - arguments.amount_minor,
            },
            "evidence": plain(facts),
        }


async def _facts(connection: Connection, arguments: StagePayment, document: Document) -> _Facts:
    """What the payment rests on. Refuses everything that `stage_payment` refuses."""
    staged = await staging_records.entry(connection, arguments.staged_id)
    if staged is None or staged.status != "staged" or staged.kind != "invoice":
        raise Refused("there is no such staged invoice", code="invoice_not_staged")
    _check_agreement(arguments, staged)
    if await staging_records.payment_of(connection, arguments.staged_id):
        raise _paid()
    if arguments.iban not in {account.iban for account in document.payment_accounts}:
        raise Refused("the document names another account", code="account_not_on_document")
    known = await staging_records.preceding(connection, staged.seller_id, staged.currency, (staged.number,))
    if arguments.amount_minor > staged.payable_minor - known.credited:
        raise Refused("more than is due", code="amount_exceeds_due")
    order = await order_records.read_order(connection, staged.order_number)
    return _Facts(document=document, order=order, staged=staged, credited_minor=known.credited)


def _same(done: StagedPayment, asked: StagePayment) -> StagedPayment:
    """A key that was used for another payment answers for none."""
    if (done.staged_id, done.amount_minor, done.iban) != (asked.staged_id, asked.amount_minor, asked.iban):
        raise Refused("this key staged another payment", code="key_reused")
    return done


def _check_agreement(arguments: StagePayment, staged: Entry) -> None:
    facts = {
        "document": staged.document_sha256,
        "order_number": staged.order_number,
        "seller_id": staged.seller_id,
        "seller_name": staged.seller_name,
        "number": staged.number,
        "currency": staged.currency,
        "payable_minor": staged.payable_minor,
        "absolute_variance_minor": staged.absolute_variance_minor,
        "variance_bp": staged.variance_bp,
        "concerns": tuple(staged.concerns),
    }
    refuse_disagreement(arguments, facts)


def _paid() -> Refused:
    return Refused("a payment of this invoice is staged already", code="duplicate_payment")
