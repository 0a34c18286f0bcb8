"""Where time and identity come from."""

from datetime import datetime
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """The only place time comes from."""

    def now(self) -> datetime:
        """Aware, UTC."""


@runtime_checkable
class Ids(Protocol):
    """The only place randomness becomes identity."""

    def new(self, prefix: str) -> str:
        """`new("run")` is `run_` and 26 characters that sort by time of creation."""
