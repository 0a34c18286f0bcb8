"""A book to try things on: orders with sensible defaults."""

from datetime import timedelta
from typing import Any

from fairlead_tenants.ids import PrincipalId, WorkspaceId

from fairlead.domain.budgets import commands as c
from fairlead.domain.budgets.amounts import Amount, Caps
from fairlead.domain.budgets.decide import decide
from fairlead.domain.budgets.scopes import Scope, Spender
from fairlead.domain.budgets.states import Book, BudgetState, evolve, initial
from fairlead.domain.ids import RunId, WorkflowId
from tests.support.clock import T0
from tests.support.given import Given, Spec

BOOKS = Spec(decide, evolve, initial)
ANN = PrincipalId("prn_ann")
AGENT = PrincipalId("prn_agent")
LEASE = timedelta(seconds=60)


def at(seconds: float) -> Any:
    return T0 + timedelta(seconds=seconds)


def spender(run: str = "run_1", **other: Any) -> Spender:
    given: dict[str, Any] = {
        "run_id": RunId(run),
        "workflow_id": WorkflowId("wfl_1"),
        "workspace_id": WorkspaceId("wsp_1"),
        "principals": (AGENT, ANN),
        "what": "demo.pay",
    }
    return Spender(**{**given, **other})


def budget(name: str = "all", kind: Any = "tenant", subject: str = "", **other: Any) -> c.SetBudget:
    given: dict[str, Any] = {
        "period": "none",
        "caps": Caps(usd_micros=100),
        "at_cap": "stop",
        "by": ANN,
        "now": T0,
        "reason": "so much and no more",
    }
    return c.SetBudget(name=name, scope=Scope(kind=kind, id=subject), **{**given, **other})


def reserve(number: str, usd_micros: int = 10, seconds: float = 0, **other: Any) -> c.Reserve:
    given: dict[str, Any] = {
        "spender": spender(),
        "bound": Amount(usd_micros=usd_micros, calls=1),
        "until": at(seconds) + LEASE,
    }
    return c.Reserve(reservation_id=number, **{**given, **other})


def settle(number: str, usd_micros: int) -> c.Settle:
    return c.Settle(reservation_id=number, actual=Amount(usd_micros=usd_micros, calls=1))


def enter(*entries: c.Entry, seconds: float = 0) -> c.Enter:
    return c.Enter(entries=entries, now=at(seconds))


def open_book(*budgets: c.SetBudget) -> Given[Any, BudgetState, Any]:
    return Given(BOOKS, initial()).after(*(budgets or (budget(),)))


def book_of(given: Given[Any, BudgetState, Any]) -> Book:
    assert isinstance(given.state, Book)
    return given.state


def spent(given: Given[Any, BudgetState, Any], name: str = "all") -> tuple[int, int]:
    """Millionths reserved and spent, over all accounts of the budget."""
    accounts = [each for each in book_of(given).accounts.values() if each.part.budget == name]
    return sum(each.reserved.usd_micros for each in accounts), sum(each.spent.usd_micros for each in accounts)
