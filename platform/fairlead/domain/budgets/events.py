"""Facts of a tenant's book of budgets. Money is in millionths of a US dollar."""

from collections.abc import Mapping
from typing import Literal

from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.budgets.amounts import Amount, Caps, Dimension
from fairlead.domain.budgets.scopes import Part, Period, Scope, Spender
from fairlead.domain.envelope import Event
from fairlead.domain.instant import Instant

AtCap = Literal["stop", "ask", "cheaper"]
IfLost = Literal["charge", "release"]


class BudgetSet(Event, frozen=True, kw_only=True, tag="budget.set.v1"):
    """From now on the scope may spend at most `caps` in each period. `at_cap` is what follows when a call would pass
    one: it is not made, it waits until somebody gives more, or a cheaper model is looked for. What was spent stays."""

    name: str
    version: int
    scope: Scope
    period: Period
    caps: Caps
    at_cap: AtCap
    set_by: PrincipalId
    set_at: Instant
    reason: str


class BudgetRemoved(Event, frozen=True, kw_only=True, tag="budget.removed.v1"):
    """It counts no more. A later budget of this name goes on with `version`."""

    name: str
    version: int
    removed_by: PrincipalId
    removed_at: Instant
    reason: str


class ZoneChosen(Event, frozen=True, kw_only=True, tag="budget.zone_chosen.v1"):
    """Days, weeks and months begin at midnight in this zone of the IANA database."""

    zone: str
    chosen_by: PrincipalId
    reason: str


class BudgetToppedUp(Event, frozen=True, kw_only=True, tag="budget.topped_up.v1"):
    """This account may spend so much more, in this period alone."""

    part: Part
    amount: Amount
    given_by: PrincipalId
    given_at: Instant
    reason: str


class BudgetReserved(Event, frozen=True, kw_only=True, tag="budget.reserved.v1", omit_defaults=True):
    """A call may spend up to `bound`, kept in every account that it concerns until it is settled, or until `until`.

    `if_lost` is what becomes of it then: the bound counts as spent, or nothing does.
    """

    reservation_id: str
    spender: Spender
    parts: tuple[Part, ...]
    bound: Amount
    until: Instant
    if_lost: IfLost = "charge"


class BudgetRenewed(Event, frozen=True, kw_only=True, tag="budget.renewed.v1"):
    """The call is still under way, or was taken over by another worker."""

    reservation_id: str
    until: Instant


class BudgetRefused(Event, frozen=True, kw_only=True, tag="budget.refused.v1", omit_defaults=True):
    """The call would pass a cap of this budget, so nothing was reserved anywhere. `left` is what it could have had."""

    reservation_id: str
    spender: Spender
    budget: str
    subject: str
    dimension: Dimension
    code: str
    asked: int
    left: int
    at_cap: AtCap


class BudgetSettled(Event, frozen=True, kw_only=True, tag="budget.settled.v1", omit_defaults=True):
    """What the call has cost counts in every account that it was reserved in; `actual` follows from the usage.

    `late`: its time had run out before. `over` is what it cost beyond its bound, which counts all the same.
    """

    reservation_id: str
    actual: Amount
    late: bool = False
    over: Amount = Amount()


class BudgetReleased(Event, frozen=True, kw_only=True, tag="budget.released.v1"):
    """The call was not made."""

    reservation_id: str


class BudgetLapsed(Event, frozen=True, kw_only=True, tag="budget.lapsed.v1", omit_defaults=True):
    """Nobody said in time what the call has cost. `charged` counts as spent, until somebody says what it was."""

    reservation_id: str
    charged: Amount = Amount()


class PageClosed(Event, frozen=True, kw_only=True, tag="budget.page_closed.v1"):
    """The book goes on in the stream of the next page, and nothing is written here any more."""

    page: int


class CarriedAccount(Struct, frozen=True, kw_only=True, omit_defaults=True):
    part: Part
    reserved: Amount = Amount()
    spent: Amount = Amount()
    extra: Amount = Amount()


class PageOpened(Event, frozen=True, kw_only=True, tag="budget.page_opened.v1", omit_defaults=True):
    """What the page before was closed with: what still counts of it."""

    page: int
    zone: str
    budgets: tuple[BudgetSet, ...] = ()
    versions: Mapping[str, int] = {}
    accounts: tuple[CarriedAccount, ...] = ()
    reservations: tuple[BudgetReserved, ...] = ()
    lapsed: tuple[tuple[BudgetReserved, BudgetLapsed], ...] = ()


BudgetEvent = (
    BudgetSet
    | BudgetRemoved
    | ZoneChosen
    | BudgetToppedUp
    | BudgetReserved
    | BudgetRenewed
    | BudgetRefused
    | BudgetSettled
    | BudgetReleased
    | BudgetLapsed
    | PageClosed
    | PageOpened
)
