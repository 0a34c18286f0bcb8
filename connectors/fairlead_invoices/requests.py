"""What the tools are asked and what they answer."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from fairlead_invoices.amounts import Currency, Minor
from fairlead_invoices.document import Document, Identifier, IsoDate, Kind, Label, Sha256
from fairlead_invoices.order import BasisPoints, Concern, Order

MAX_DOCUMENT_BYTES = 5 * 1024 * 1024
MAX_CONTENT_CHARS = 7 * 1024 * 1024  # base64 of the largest document, with line breaks

Positive = Annotated[int, Meta(ge=1, le=10**15 - 1, description="Minor units of the currency, above zero.")]
Concerns = Annotated[tuple[Concern, ...], Meta(max_length=10)]
StagedId = Annotated[int, Meta(ge=1, description="Names one staged record in the orders database.")]
Instant = Annotated[datetime, Meta(tz=True)]


class StoreDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    content: Annotated[str, Meta(min_length=1, max_length=MAX_CONTENT_CHARS)]
    encoding: Literal["text", "base64"] = "text"


class StoredDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    document: Sha256
    size_bytes: int


class ReadDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    document: Sha256


class FindOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without a number nothing is found, so that a document's missing reference can be passed on as it is."""

    number: Identifier | None = None


class FoundOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    found: bool
    order: Order | None = None


class CheckDuplicate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    seller_id: Identifier
    number: Identifier
    kind: Kind = "invoice"


class DuplicateCheck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`document` is the one that was staged under this number: equal bytes were sent twice, others are a conflict."""

    duplicate: bool
    staged_id: StagedId | None = None
    document: Sha256 | None = None
    staged_at: Instant | None = None


class Compare(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    document: Document
    order: Order


class StageDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a rule or a reviewer judges by. The tool reads the document and the order again and refuses when
    any of it is not what they say, so a judgement about these arguments is one about the facts."""

    document: Sha256
    order_number: Identifier
    seller_id: Identifier
    seller_name: Label
    number: Identifier
    issue_date: IsoDate
    currency: Currency
    payable_minor: Minor
    total_variance_minor: Minor
    absolute_variance_minor: Minor
    variance_bp: BasisPoints
    concerns: Concerns


class StagedDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    staged_id: StagedId
    kind: Kind
    seller_id: Identifier
    number: Identifier
    order_number: Identifier
    currency: Currency
    payable_minor: Minor
    staged_at: Instant


class StagePayment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pays a staged invoice, in full or less. All but amount, account and reference must be as it was staged; the
    account must be one that the document asks for."""

    staged_id: StagedId
    document: Sha256
    order_number: Identifier
    seller_id: Identifier
    seller_name: Label
    number: Identifier
    currency: Currency
    amount_minor: Positive
    payable_minor: Minor
    iban: Identifier
    reference: Identifier
    absolute_variance_minor: Minor
    variance_bp: BasisPoints
    concerns: Concerns


class StagedPayment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Staged: nothing in this connector can send money."""

    payment_id: StagedId
    staged_id: StagedId
    currency: Currency
    amount_minor: Positive
    iban: Identifier
    reference: Identifier
    staged_at: Instant


class RecordRejection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With `staged_id` that staged record is withdrawn too: its quantities are open again and its number may return."""

    document: Sha256
    reason_code: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
    reason: Annotated[str, Meta(min_length=1, max_length=4_000)]
    seller_id: Identifier | None = None
    number: Identifier | None = None
    staged_id: StagedId | None = None


class Rejection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rejection_id: StagedId
    document: Sha256
    reason_code: str
    withdrawn_id: StagedId | None = None
    recorded_at: Instant
