"""Budgets of a tenant: what may be spent by whom and until when, what is reserved now, and what was spent."""

from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import PrincipalId
from litestar import Controller, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct
from msgspec.structs import asdict

from fairlead.api.acting import Act
from fairlead.api.etags import etag_of, expected_version
from fairlead.api.guards import requires
from fairlead.api.paging import Page
from fairlead.api.parts import ApiParts
from fairlead.api.problems import PreconditionFailed
from fairlead.api.publishing import IfMatch, IfNoneMatch
from fairlead.domain.budgets import commands as c
from fairlead.domain.budgets.amounts import Amount, Caps
from fairlead.domain.budgets.errors import BudgetMoved, NoSuchBudget
from fairlead.domain.budgets.events import AtCap, BudgetSet
from fairlead.domain.budgets.scopes import EACH, Period, Scope, ScopeKind
from fairlead.domain.budgets.states import Account, Book
from fairlead.domain.errors import Denied
from fairlead.domain.instant import Instant
from fairlead.domain.tenants.commands import KeepBudgets
from fairlead.handling.handler import Handled

READS = requires(Permission.BUDGET_READ)
CHANGES = requires(Permission.BUDGET_MANAGE)
MOST_SHOWN = 100  # accounts of one budget, those with the most spent first
MAX_REASON = 500

Why = Annotated[str, Meta(min_length=1, max_length=MAX_REASON, description="Kept on the log.")]


class BudgetDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scope_id` of a workspace, workflow, run or principal, or `*`: each of them may spend so much."""

    scope: ScopeKind
    caps: Caps
    reason: Why
    scope_id: Annotated[str, Meta(max_length=64)] = ""
    period: Period = "none"
    at_cap: AtCap = "stop"


class TopUpRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More for the period that we are in. `subject` names the run, workflow or principal of a budget for each."""

    amount: Amount
    reason: Why
    subject: Annotated[str, Meta(max_length=64)] = ""


class ZoneRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    zone: Annotated[str, Meta(min_length=1, max_length=64)]
    reason: Why


class ZoneView(Struct, frozen=True, kw_only=True):
    zone: str


class Used(Struct, frozen=True, kw_only=True):
    usd_micros: int
    tokens: int
    calls: int


class AccountView(Struct, frozen=True, kw_only=True):
    """One period of one subject. `left` is null where nothing is capped, and below zero after a cap was lowered."""

    subject: str
    period: str
    ends_at: Instant | None
    reserved: Used
    spent: Used
    topped_up: Used
    left_usd_micros: int | None
    left_tokens: int | None
    left_calls: int | None


class BudgetView(Struct, frozen=True, kw_only=True):
    """`accounts` of the present period: one, or one for each that has used it, a hundred at most."""

    name: str
    version: int
    scope: ScopeKind
    scope_id: str
    period: Period
    caps: Caps
    at_cap: AtCap
    set_by: PrincipalId
    set_at: Instant
    reason: str
    accounts: tuple[AccountView, ...]


class BudgetController(Controller):
    path = "/v1/budgets"
    tags = ("Budgets",)

    @get("/", opt=READS)
    async def list_budgets(
        self, principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> Page[BudgetView]:
        """Every budget, by name, with what is reserved, spent and left now."""
        book = await _book(parts, principal)
        return Page([_view(book, book.budgets[name], parts.clock.now()) for name in sorted(book.budgets)], None)

    @get("/{name:str}", opt=READS)
    async def get_budget(
        self, name: FromPath[str], principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]
    ) -> Response[BudgetView]:
        """One budget, as of now."""
        return _answered(await _book(parts, principal), name, parts.clock.now())

    @put("/{name:str}", opt=CHANGES)
    async def set_budget(
        self,
        name: FromPath[str],
        data: JSONBody[BudgetDocument],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response[BudgetView]:
        """Set what may be spent from now on. What was spent in the period counts; a call under way is not stopped."""
        _check(act.principal, Permission.BUDGET_MANAGE)
        now = parts.clock.now()
        await act.handle(act.tenant_stream, KeepBudgets(by=act.principal, now=now), "keep")
        command = c.SetBudget(
            name=name,
            scope=Scope(kind=data.scope, id=data.scope_id),
            period=data.period,
            caps=data.caps,
            at_cap=data.at_cap,
            by=act.principal.principal_id,
            now=now,
            reason=data.reason,
            expected_version=expected_version(if_match, if_none_match),
        )
        await _handled(act, parts, command)
        return _answered(await parts.budgets.book(act.tenant_id), name, now)

    @delete("/{name:str}", opt=CHANGES, status_code=204)
    async def remove_budget(
        self,
        name: FromPath[str],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        reason: Annotated[str, QueryParameter(name="reason", min_length=1, max_length=MAX_REASON)],
        if_match: IfMatch = None,
    ) -> None:
        """It caps nothing from now on."""
        _check(act.principal, Permission.BUDGET_MANAGE)
        command = c.RemoveBudget(
            name=name,
            by=act.principal.principal_id,
            now=parts.clock.now(),
            reason=reason,
            expected_version=expected_version(if_match, None),
        )
        await _handled(act, parts, command)

    @post("/{name:str}/top-ups", opt=CHANGES, status_code=200)
    async def top_up(
        self,
        name: FromPath[str],
        data: JSONBody[TopUpRequest],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> Response[BudgetView]:
        """Give more for this period. Calls that wait for it go on."""
        _check(act.principal, Permission.BUDGET_MANAGE)
        now = parts.clock.now()
        command = c.TopUp(
            name=name,
            amount=data.amount,
            by=act.principal.principal_id,
            now=now,
            reason=data.reason,
            subject=data.subject,
        )
        await _handled(act, parts, command)
        return _answered(await parts.budgets.book(act.tenant_id), name, now)


class BudgetZoneController(Controller):
    path = "/v1/budget-zone"
    tags = ("Budgets",)

    @get("/", opt=READS)
    async def get_zone(self, principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]) -> ZoneView:
        """Where days, weeks and months of budgets begin."""
        return ZoneView(zone=(await _book(parts, principal)).zone)

    @put("/", opt=CHANGES)
    async def choose_zone(
        self, data: JSONBody[ZoneRequest], act: NamedDependency[Act], parts: NamedDependency[ApiParts]
    ) -> ZoneView:
        """Days, weeks and months begin at midnight there. What is spent from now on counts in the periods of there."""
        _check(act.principal, Permission.BUDGET_MANAGE)
        command = c.ChooseZone(zone=data.zone, by=act.principal.principal_id, reason=data.reason)
        await _handled(act, parts, command)
        return ZoneView(zone=data.zone)


def _check(principal: Principal, needed: Permission) -> None:
    """It is about the whole tenant: a grant for a part of it is not enough."""
    if not may(principal, needed):
        raise Denied(needed)


async def _book(parts: ApiParts, principal: Principal) -> Book:
    _check(principal, Permission.BUDGET_READ)
    return await parts.budgets.book(principal.tenant_id)


async def _handled(act: Act, parts: ApiParts, command: c.ManagedCommand) -> Handled:
    try:
        handled = await parts.budgets.handle(act.tenant_id, command, act.cause())
    except BudgetMoved as moved:
        raise PreconditionFailed(str(moved)) from moved
    act.seen(handled)
    return handled


def _answered(book: Book, name: str, now: Instant) -> Response[BudgetView]:
    budget = book.budgets.get(name)
    if budget is None:
        raise NoSuchBudget("no such budget")
    return Response(_view(book, budget, now), headers={"ETag": etag_of(budget.version)})


def _view(book: Book, budget: BudgetSet, now: Instant) -> BudgetView:
    return BudgetView(
        name=budget.name,
        version=budget.version,
        scope=budget.scope.kind,
        scope_id=budget.scope.id,
        period=budget.period,
        caps=budget.caps,
        at_cap=budget.at_cap,
        set_by=budget.set_by,
        set_at=budget.set_at,
        reason=budget.reason,
        accounts=tuple(_account(book, each) for each in _accounts(book, budget, now)),
    )


def _accounts(book: Book, budget: BudgetSet, now: Instant) -> list[Account]:
    current = book.part(budget, "" if budget.scope.id == EACH else budget.scope.id, now)
    if budget.scope.id != EACH:
        return [book.account(current)]
    found = [
        each for each in book.accounts.values() if (each.part.budget, each.part.period) == (budget.name, current.period)
    ]
    return sorted(found, key=lambda each: (-each.spent.usd_micros, each.part.subject))[:MOST_SHOWN]


def _account(book: Book, account: Account) -> AccountView:
    part = account.part
    return AccountView(
        subject=part.subject,
        period=part.period,
        ends_at=part.ends_at,
        reserved=Used(**asdict(account.reserved)),
        spent=Used(**asdict(account.spent)),
        topped_up=Used(**asdict(account.extra)),
        left_usd_micros=book.left(part, "usd_micros"),
        left_tokens=book.left(part, "tokens"),
        left_calls=book.left(part, "calls"),
    )
