"""Points in time: aware, UTC. The domain is told the time; it never asks."""

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

Instant = Annotated[datetime, Meta(tz=True)]


def later(at: datetime, seconds: float) -> datetime:
    return at + timedelta(seconds=seconds)
