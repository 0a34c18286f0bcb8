"""Times as people say them in a shell."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since(text: str | None) -> str | None:
    """`30m` is that long ago; anything else is a time as the API takes it."""
    ago = _AGO.fullmatch(text) if text else None
    if ago is None:
        return text
    return (datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).isoformat()
