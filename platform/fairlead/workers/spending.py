"""What a call may cost is reserved before it is made, and what it has cost is settled when that is known.

A tenant that keeps no budgets is asked nothing and writes nothing.
"""

from collections import OrderedDict
from datetime import timedelta

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.budgets.amounts import Amount
from fairlead.domain.budgets.commands import Reserve
from fairlead.domain.budgets.decide import Refusal
from fairlead.domain.envelope import StreamRef
from fairlead.domain.runs.commands import CallErred, CallSucceeded
from fairlead.domain.runs.spending import spender_of
from fairlead.domain.runs.states import Active, OpenCall
from fairlead.domain.tenants.states import Tenant, TenantState
from fairlead.handling.budget_desk import BudgetDesk, Reserved
from fairlead.ports import Clock
from fairlead.workers.answering import Result
from fairlead.workers.gates import PutBack

ASKS_PER_CALL = 3  # the call, its read-back, the call again
GRACE_S = 30.0  # for what is around them
ASK_AGAIN_S = 5.0  # how soon a call that waits for more looks again
KEPT_REFUSALS = 10_000
UNMADE = frozenset({"validation", "permission", "policy", "outage"})  # errors of calls that never went out


class NoBudget(Exception):
    """A cap would be passed. `code` says of which scope and what."""

    def __init__(self, refused: Refusal) -> None:
        budget = refused.part.budget if refused.part else "the book"
        super().__init__(
            f"budget {budget} has {refused.left} {refused.dimension} left, the call may need {refused.asked}"
        )
        self.code = refused.code


class Spent(Struct, frozen=True):
    """What a call has reserved."""

    tenant_id: TenantId
    reserved: Reserved
    bound: Amount


class Spending:
    def __init__(self, desk: BudgetDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock
        self._refused: OrderedDict[str, None] = OrderedDict()

    async def begin(
        self, run: StreamRef, state: Active, tenant: TenantState, call: OpenCall, cost_usd_micros: int
    ) -> Spent | None:
        """None where nothing is counted. Raises NoBudget, PutBack where it is to wait, Unavailable, StreamMoved."""
        if not isinstance(tenant, Tenant) or not tenant.keeps_budgets or call.obligations.dry_run:
            return None
        request = call.request
        reservation_id = f"{request.call_id}.{call.attempt}"
        wanted = Reserve(
            reservation_id=reservation_id,
            spender=spender_of(state, request.tool),
            bound=Amount(usd_micros=cost_usd_micros, calls=1),
            until=self._clock.now() + timedelta(seconds=ASKS_PER_CALL * request.timeout_s + GRACE_S),
            quiet=reservation_id in self._refused,
        )
        said = await self._desk.reserve(run.tenant_id, wanted)
        if isinstance(said, Reserved):
            self._refused.pop(reservation_id, None)
            return Spent(run.tenant_id, said, wanted.bound) if said.counted else None
        self._remember(reservation_id)
        if said.at_cap == "ask":
            raise PutBack(ASK_AGAIN_S, "budget", said.part.budget if said.part else "")
        raise NoBudget(said)

    def end(self, spent: Spent | None, outcome: Result) -> None:
        """Once the outcome is on the log: until then it can be asked for again, under the same reservation."""
        if spent is None:
            return
        actual = _actual(spent.bound, outcome)
        if actual is None:
            self.give_back(spent)
        else:
            self._desk.settle(spent.tenant_id, spent.reserved.reservation_id, actual)

    def give_back(self, spent: Spent | None) -> None:
        """It was not made after all."""
        if spent is not None:
            self._desk.release(spent.tenant_id, spent.reserved.reservation_id)

    def _remember(self, reservation_id: str) -> None:
        self._refused[reservation_id] = None
        while len(self._refused) > KEPT_REFUSALS:
            self._refused.popitem(last=False)


def fee_of(cost_usd_micros: int, call: OpenCall, outcome: Result) -> int:
    """What is due for an attempt, whether or not somebody keeps budgets."""
    if call.obligations.dry_run or (isinstance(outcome, CallSucceeded) and outcome.cached is not None):
        return 0
    actual = _actual(Amount(usd_micros=cost_usd_micros), outcome)
    return 0 if actual is None else actual.usd_micros


def _actual(bound: Amount, outcome: Result) -> Amount | None:
    """The fee is due for what was done and for what nobody knows; a call that failed for certain counts as a call."""
    if isinstance(outcome, CallSucceeded):
        return bound
    if _is_doubtful(outcome):
        return bound
    return None if outcome.error_class in UNMADE else Amount(calls=bound.calls)


def _is_doubtful(erred: CallErred) -> bool:
    return erred.unclear or erred.error_class in ("timeout", "unknown_outcome")
