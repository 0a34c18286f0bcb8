"""From the bytes of an electronic invoice to its fields."""

import hashlib

from fairlead_sdk import Refused
from msgspec.structs import replace

from fairlead_invoices import cii, ubl
from fairlead_invoices.checks import findings
from fairlead_invoices.document import Document
from fairlead_invoices.requests import MAX_DOCUMENT_BYTES
from fairlead_invoices.tree import parse

_EXTRACT = {
    "inv:Invoice": ubl.extract,
    "cn:CreditNote": ubl.extract,
    "rsm:CrossIndustryInvoice": cii.extract,
}


def extract(content: bytes) -> Document:
    """Deterministic: the same bytes give the same fields.

    Raises Refused: document_too_large, document_too_complex, entities_forbidden, malformed_document,
    unsupported_format, unsupported_currency.
    """
    if len(content) > MAX_DOCUMENT_BYTES:
        raise Refused(f"the document is larger than {MAX_DOCUMENT_BYTES} bytes", code="document_too_large")
    root = parse(content)
    if (read := _EXTRACT.get(root.name)) is None:
        raise Refused("neither a UBL 2.1 invoice or credit note nor a CII invoice", code="unsupported_format")
    document = read(root, hashlib.sha256(content).hexdigest())
    return replace(document, checks=findings(document))
