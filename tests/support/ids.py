"""Identifiers that are the same in every run of a test, and have the shape of real ones."""

from fairlead_tenants.ids import ID_BODY_LENGTH, base32


class SequentialIds:
    """`new("run")` is run_0…01, then run_0…02; one count for all prefixes."""

    def __init__(self) -> None:
        self._last = 0

    def new(self, prefix: str) -> str:
        self._last += 1
        return f"{prefix}_{base32(self._last, ID_BODY_LENGTH)}"
