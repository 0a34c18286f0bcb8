"""Is the log still what was kept of it: whoever finds otherwise writes nothing."""

from fairlead.adapters.doctor.finding import Finding, fail, ok
from fairlead.handling.log_guard import KeptUpTo

_NAME = "log and ledger"
_MEND = "stop everything that writes, then `fairlead ledger check` and `restore`: docs/runbooks/ledger-mismatch.md"


def examine_ledger(kept: KeptUpTo | None, ends_at: int) -> Finding:
    if kept is None:
        return ok(_NAME, "nothing is kept yet")
    if ends_at < kept.sequence:
        return fail(
            _NAME, f"the log ends at {ends_at}, and it was kept up to {kept.sequence}: it was taken back", _MEND
        )
    if kept.halted is not None:
        return fail(_NAME, f"the ledger has halted: {kept.halted}", _MEND)
    return ok(_NAME, f"the log ends at {ends_at} and was kept up to {kept.sequence}")
