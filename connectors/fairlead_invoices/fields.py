"""Single values of a document: texts, dates, numbers and amounts, each refused when it is not what it should be."""

import re
from collections.abc import Callable
from datetime import date
from typing import TypeVar

from fairlead_sdk import Refused

from fairlead_invoices.amounts import decimal_text, exponent, minor_units
from fairlead_invoices.document import MAX_LINES, MAX_REPEATED, Party, comparable_id
from fairlead_invoices.tree import Node, malformed

T = TypeVar("T")
MAX_IDENTIFIER = 200
MAX_LABEL = 500
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def identifier(node: Node, path: str) -> str:
    value = optional_identifier(node, path)
    if value is None:
        raise malformed(f"{node.name} lacks {path}")
    return value


def optional_identifier(node: Node, path: str) -> str | None:
    """None for an element that is missing or empty."""
    found = node.maybe(path)
    return None if found is None or not found.text else _limited(found.text, path)


def first_identifier(nodes: list[Node]) -> str | None:
    """Of several that mean the same thing to us, the first that says something."""
    return next((_limited(node.text, node.name) for node in nodes if node.text), None)


def unit_code(quantity: Node) -> str:
    if not (code := quantity.attributes.get("unitCode", "").strip()):
        raise malformed(f"{quantity.name} has no unit")
    return _limited(code, quantity.name)


def _limited(text: str, path: str) -> str:
    """An identifier is never cut: too long a one is refused."""
    if len(text) > MAX_IDENTIFIER:
        raise malformed(f"{path} is longer than {MAX_IDENTIFIER} characters")
    return text


def label(node: Node, path: str) -> str:
    """Text for people to read, cut at its maximum; several elements (notes, descriptions) are joined."""
    return " ".join(found.text for found in node.many(path))[:MAX_LABEL]


def decimal(node: Node, path: str, default: str | None = None) -> str:
    found = node.maybe(path)
    if found is None and default is not None:
        return default
    return _converted(decimal_text, node.one(path).text, path)


def iso_date(text: str, path: str) -> str:
    """`2017-11-13`, and nothing else that a date library would take."""
    if not _DATE.fullmatch(text):
        raise malformed(f"{path} is not a date")
    return _converted(date.fromisoformat, text, path).isoformat()


def currency_code(node: Node, path: str) -> str:
    code = identifier(node, path)
    try:
        exponent(code)
    except ValueError as fault:
        raise Refused(f"{path} is {fault}", code="unsupported_currency") from None
    return code


class Amounts:
    """Reads amounts of one currency, the document's; another one at an amount makes the document malformed."""

    def __init__(self, currency: str) -> None:
        self.currency = currency

    def one(self, node: Node, path: str) -> int:
        return self._minor(node.one(path), path)

    def maybe(self, node: Node, path: str) -> int:
        """0 where the document is silent."""
        found = node.maybe(path)
        return 0 if found is None else self._minor(found, path)

    def _minor(self, node: Node, path: str) -> int:
        if node.attributes.get("currencyID", self.currency) != self.currency:
            raise malformed(f"{path} is in another currency than the document")
        return _converted(lambda text: minor_units(text, self.currency), node.text, path)


def bounded(found: list[Node], path: str, maximum: int = MAX_REPEATED) -> list[Node]:
    if len(found) > maximum:
        raise Refused(f"more than {maximum} of {path}", code="document_too_complex")
    return found


def lines_of(root: Node, path: str) -> list[Node]:
    if not (found := root.many(path)):
        raise malformed(f"{root.name} lacks {path}")
    return bounded(found, path, MAX_LINES)


def indicator(node: Node, path: str) -> bool:
    text = node.one(path).text
    if text not in ("true", "false", "1", "0"):
        raise malformed(f"{path} is neither true nor false")
    return text in ("true", "1")


def seller_key(seller: Party) -> str:
    """Raises malformed_document when nothing identifies the seller (EN 16931 BR-CO-26)."""
    for candidate in (seller.vat_id, seller.legal_id, seller.id):
        if candidate and (key := comparable_id(candidate)):
            return key
    raise malformed("the seller has neither a VAT id nor a register entry nor another identifier")


def _converted(convert: Callable[[str], T], text: str, path: str) -> T:
    try:
        return convert(text)
    except ValueError as fault:
        raise malformed(f"{path}: {fault}") from None
