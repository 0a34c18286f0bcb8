"""What a run is told when an order for it cannot be carried out, however often it is tried."""

from fairlead.domain.instant import Instant
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import obligations as o

CODE = "undeliverable"


def undeliverable(wanted: o.Order, fault: str, worker: str, now: Instant) -> c.RunCommand | None:
    """A failed call, a read-back that cannot be had, an effect that is put before a person. None: people are asked
    anew, or need not answer any more, which the watch sees to; a call goes on counting that need not; or another lane
    tells the run."""
    message = f"the order could not be carried out: {fault}"
    match wanted:
        case o.CallOrder(call_id=call_id, attempt=attempt):
            erred = c.CallErred(error_class="permanent", code=CODE, message=message, unclear=True)
            return c.RecordOutcome(
                call_id=call_id, attempt=attempt, outcome=erred, latency_us=0, worker=worker, now=now
            )
        case o.VerifyOrder(call_id=call_id):
            return c.RecordVerdict(
                call_id=call_id, seen=c.CannotTell(reason=message), latency_us=0, worker=worker, now=now
            )
        case o.UndoOrder(call_id=call_id, attempt=attempt):
            erred = c.CallErred(error_class="permanent", code=CODE, message=message)
            return c.RecordUndo(call_id=call_id, attempt=attempt, outcome=erred, latency_us=0, worker=worker, now=now)
        case o.ApprovalOrder() | o.WithdrawOrder() | o.ReturnOrder() | o.ModelOrder():
            return None
