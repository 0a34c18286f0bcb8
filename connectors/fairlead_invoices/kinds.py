"""Which type codes (UNTDID 1001, the subset of EN 16931) make a document a credit note."""

from fairlead_invoices.document import Kind

CREDIT_NOTE_CODES = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "532"})


def kind_of(type_code: str) -> Kind:
    return "credit_note" if type_code in CREDIT_NOTE_CODES else "invoice"
