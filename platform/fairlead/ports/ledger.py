"""What vouches for the log: keys that sign its heads, and a place outside for them."""

from collections.abc import Sequence
from typing import Protocol

from fairlead_ledger.heads import Head
from fairlead_ledger.keys import ListedKey, Signer


class HeadKeys(Protocol):
    """Keys that sign ledgers. A new one may come at any time."""

    def signer(self) -> Signer: ...

    def public(self) -> list[ListedKey]:
        """Oldest first; each is vouched for by the one before it."""


class HeadAnchor(Protocol):
    """A place outside, for signed heads."""

    async def lay(self, heads: Sequence[Head]) -> None:
        """In order. Laid down when it returns. Raises Unavailable; some may be laid down then."""
