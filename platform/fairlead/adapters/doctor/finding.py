"""What the doctor says about one thing."""

from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

Status = Literal["ok", "warn", "fail"]

_SKEW_WARN_S = 0.5
_SKEW_FAIL_S = 5.0


class Finding(Struct, frozen=True, kw_only=True):
    """`mend` says what to do, and is empty when all is well. Neither text holds a password."""

    name: str
    status: Status
    detail: str
    mend: str = ""


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, status="ok", detail=detail)


def warn(name: str, detail: str, mend: str) -> Finding:
    return Finding(name=name, status="warn", detail=detail, mend=mend)


def fail(name: str, detail: str, mend: str) -> Finding:
    return Finding(name=name, status="fail", detail=detail, mend=mend)


def clock_finding(whose: str, there: datetime, asked_at: datetime, answered_at: datetime) -> Finding:
    """Compares a remote clock with ours in the middle of the question; half the round trip is the uncertainty."""
    middle = asked_at + (answered_at - asked_at) / 2
    skew_s = abs((there - middle).total_seconds())
    unsure_s = (answered_at - asked_at).total_seconds() / 2
    detail = f"{skew_s * 1000:.0f} ms from this machine's, give or take {unsure_s * 1000:.0f} ms"
    name = f"clock of {whose}"
    if skew_s - unsure_s <= _SKEW_WARN_S:
        return ok(name, detail)
    mend = "let both machines follow a time server (chrony, systemd-timesyncd)"
    return (fail if skew_s - unsure_s > _SKEW_FAIL_S else warn)(name, detail, mend)


def now() -> datetime:
    return datetime.now(UTC)
