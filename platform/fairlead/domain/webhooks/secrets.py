"""What the vault holds for a webhook: one secret, or two while one replaces the other."""

import msgspec
from msgspec import Struct

from fairlead.domain.instant import Instant

KEY_BYTES = 32


class Signing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`made_by` is the command that made `current`: carried out again, it finds its secret and makes no other."""

    current: str
    made_by: str
    previous: str | None = None
    previous_until: Instant | None = None

    def __repr__(self) -> str:
        return "Signing(…)"

    def valid_at(self, now: Instant) -> list[str]:
        """The newest first."""
        if self.previous is None or self.previous_until is None or now >= self.previous_until:
            return [self.current]
        return [self.current, self.previous]


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Signing).decode
