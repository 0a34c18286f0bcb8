"""A process that makes a hundred calls at once: `python -m tests.support.spender URL TENANT NAME LEASE_S`.

It begins when it is told to, says how many were allowed, and ends with its standard input. With a name that begins with
`settles` it says what each has cost; else it keeps what it has reserved, as if every call took for ever.
"""

import asyncio
import sys
from datetime import timedelta

from fairlead_tenants.ids import PrincipalId, TenantId, WorkspaceId

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.domain.budgets.amounts import Amount
from fairlead.domain.budgets.commands import Reserve
from fairlead.domain.budgets.decide import decide
from fairlead.domain.budgets.scopes import Spender
from fairlead.domain.budgets.states import Closed, evolve, initial
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.handling.budget_books import BudgetBooks
from fairlead.handling.budget_desk import BudgetDesk, Reserved
from fairlead.handling.handler import Decider, Handler
from fairlead.ports import Clock, Log

CALLS = 100
BUDGETS = Decider(initial=initial, evolve=evolve, decide=decide, finished=lambda state: isinstance(state, Closed))


def desk_on(log: Log, clock: Clock) -> BudgetDesk:
    return BudgetDesk(BudgetBooks(log, Handler(log, clock, {"budget": BUDGETS}), clock), clock, UuidIds())


def wanted(name: str, lease_s: float) -> Reserve:
    return Reserve(
        reservation_id=name,
        spender=Spender(
            run_id=RunId("run_1"),
            workflow_id=WorkflowId("wfl_1"),
            workspace_id=WorkspaceId("wsp_1"),
            principals=(PrincipalId("prn_1"),),
            what="demo.pay",
        ),
        bound=Amount(usd_micros=1, calls=1),
        until=SystemClock().now() + timedelta(seconds=lease_s),
        if_lost="release",
    )


async def main() -> None:
    url, tenant, name, lease_s = sys.argv[1], TenantId(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    connection = await NatsConnection.open(url)
    desk = desk_on(NatsLog(connection, Codec(EVENTS, UPCASTERS)), SystemClock())
    await asyncio.to_thread(sys.stdin.readline)

    async def call(number: int) -> bool:
        said = await desk.reserve(tenant, wanted(f"{name}-{number}", lease_s))
        if isinstance(said, Reserved) and name.startswith("settles"):
            desk.settle(tenant, said.reservation_id, Amount(usd_micros=1, calls=1))
        return isinstance(said, Reserved)

    allowed = sum(await asyncio.gather(*(call(number) for number in range(CALLS))))
    await desk.written()
    sys.stdout.write(f"{allowed}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
