"""Foreign XML to a small tree, or a refusal. No DTD, no entities, nothing fetched; depth and count are bounded."""

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError
from fairlead_sdk import Refused

MAX_DEPTH = 32
MAX_ELEMENTS = 100_000
MAX_ATTRIBUTES = 32  # of one element

_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_CEFACT = "urn:un:unece:uncefact:data:standard:"
_PREFIX = {
    f"{_UBL}Invoice-2": "inv",
    f"{_UBL}CreditNote-2": "cn",
    f"{_UBL}CommonAggregateComponents-2": "cac",
    f"{_UBL}CommonBasicComponents-2": "cbc",
    f"{_CEFACT}CrossIndustryInvoice:100": "rsm",
    f"{_CEFACT}ReusableAggregateBusinessInformationEntity:100": "ram",
    f"{_CEFACT}UnqualifiedDataType:100": "udt",
}


def malformed(message: str) -> Refused:
    return Refused(message, code="malformed_document")


class Node:
    """An element. Names carry our own prefix of a known namespace (`cbc:ID`), whatever the document calls it.

    Paths are names joined by `/`. An element that may come once and comes twice makes the document malformed: which of
    two amounts is meant must not depend on who reads it.
    """

    __slots__ = ("_text", "attributes", "children", "name")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Node] = []
        self._text: list[str] = []

    def add_text(self, data: str) -> None:
        self._text.append(data)

    @property
    def text(self) -> str:
        """With runs of white space as one blank."""
        return " ".join("".join(self._text).split())

    def many(self, path: str) -> list["Node"]:
        found = [self]
        for name in path.split("/"):
            found = [child for node in found for child in node.children if child.name == name]
        return found

    def maybe(self, path: str) -> "Node | None":
        found = self.many(path)
        if len(found) > 1:
            raise malformed(f"{self.name} has {path} {len(found)} times")
        return found[0] if found else None

    def one(self, path: str) -> "Node":
        if (found := self.maybe(path)) is None:
            raise malformed(f"{self.name} lacks {path}")
        return found


class _Builder:
    """Receives the parser's events; stops at the first bound that is passed."""

    def __init__(self) -> None:
        self._open: list[Node] = []
        self._elements = 0
        self.root: Node | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._open) >= MAX_DEPTH or self._elements > MAX_ELEMENTS or len(attributes) > MAX_ATTRIBUTES:
            raise Refused("the document is nested too deeply or has too many parts", code="document_too_complex")
        node = Node(_prefixed(tag), attributes)
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def data(self, text: str) -> None:
        self._open[-1].add_text(text)

    def end(self, tag: str) -> None:  # noqa: ARG002 - the parser's own signature
        self._open.pop()


def parse(content: bytes) -> Node:
    """The root. Raises Refused: malformed_document, entities_forbidden, document_too_complex."""
    builder = _Builder()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    try:
        parser.feed(content)
        parser.close()
    except DefusedXmlException:
        raise Refused("a document type or entity declaration is not accepted", code="entities_forbidden") from None
    except (ParseError, LookupError, ValueError) as fault:
        raise malformed(f"not well-formed XML: {str(fault)[:120]}") from None
    assert builder.root is not None, "a well-formed document has a root"
    return builder.root


def _prefixed(tag: str) -> str:
    namespace, _, local = tag[1:].rpartition("}") if tag.startswith("{") else ("", "", tag)
    prefix = _PREFIX.get(namespace)
    return f"{prefix}:{local}" if prefix else tag
