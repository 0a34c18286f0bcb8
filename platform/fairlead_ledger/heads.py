"""Signed tree heads: what a ledger was at a moment, in a form that cannot be taken back.

    {"at": …, "format": "fairlead.head.v1", "key_id": …, "root": "<sha256>", "signature": …, "size": 4711,
     "tenant_id": …}

The signature is over the canonical JSON of all the rest.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fairlead_ledger.canonical import canonical
from fairlead_ledger.keys import Signer, Trust, is_hex
from fairlead_ledger.merkle import HASH_BYTES

HEAD_FORMAT = "fairlead.head.v1"
LARGEST = 2**62  # of trees


class HeadInvalid(ValueError):
    """It is no signed head."""


@dataclass(frozen=True)
class Head:
    tenant_id: str
    size: int
    root: str
    at: str
    key_id: str
    signature: str = ""

    @property
    def statement(self) -> dict[str, Any]:
        said = asdict(self)
        del said["signature"]
        return {**said, "format": HEAD_FORMAT}

    def document(self) -> dict[str, Any]:
        return {**self.statement, "signature": self.signature}


def signed_head(signer: Signer, tenant_id: str, size: int, root: bytes, at: str) -> Head:
    head = Head(tenant_id, size, root.hex(), at, signer.key_id)
    return Head(**{**asdict(head), "signature": signer.sign(head.statement)})


def head_from(document: Any) -> Head:
    """Raises HeadInvalid. Does not look at the signature."""
    if not isinstance(document, Mapping) or document.get("format") != HEAD_FORMAT:
        raise HeadInvalid(f"its format is not {HEAD_FORMAT}")
    fields = {key: value for key, value in document.items() if key != "format"}
    if not all(isinstance(value, int if key == "size" else str) for key, value in fields.items()):
        raise HeadInvalid("fields of a head are of another kind")
    try:
        head = Head(**fields)
    except TypeError:
        raise HeadInvalid("fields of a head are missing, or are too many") from None
    if not 0 <= head.size <= LARGEST:
        raise HeadInvalid("its size is none")
    if not is_hex(head.root, HASH_BYTES):
        raise HeadInvalid("its root is no hash")
    return head


def is_genuine(head: Head, trust: Trust) -> bool:
    return trust.holds(head.key_id, head.statement, head.signature)


def head_text(head: Head) -> bytes:
    return canonical(head.document())
