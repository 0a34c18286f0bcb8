"""What may be asked of a tenant's book of budgets. `now` is the caller's clock."""

from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.budgets.amounts import Amount, Caps
from fairlead.domain.budgets.events import AtCap, IfLost, PageOpened
from fairlead.domain.budgets.scopes import Period, Scope, Spender
from fairlead.domain.instant import Instant


class Reserve(Struct, frozen=True, kw_only=True):
    """Up to `bound` in every budget that it concerns, or nothing. The same id again renews what is there.

    `quiet`: it was refused before, and is not written down again.
    """

    reservation_id: str
    spender: Spender
    bound: Amount
    until: Instant
    if_lost: IfLost = "charge"
    quiet: bool = False


class Renew(Struct, frozen=True, kw_only=True):
    reservation_id: str
    until: Instant


class Settle(Struct, frozen=True, kw_only=True):
    """What it has cost, from the usage that was reported. Nothing happens where nothing was reserved."""

    reservation_id: str
    actual: Amount


class Release(Struct, frozen=True, kw_only=True):
    """The call was not made, and has cost nothing."""

    reservation_id: str


Entry = Reserve | Renew | Settle | Release


class Enter(Struct, frozen=True, kw_only=True):
    """Entries of many calls, in order, in one commit. What was refused does not keep the others from theirs."""

    entries: tuple[Entry, ...]
    now: Instant


class Expire(Struct, frozen=True, kw_only=True):
    """Whatever is past its time lapses. Every `Enter` does that too."""

    now: Instant


class SetBudget(Struct, frozen=True, kw_only=True):
    """`expected_version` is the one that was seen, 0 for none; None for any."""

    name: str
    scope: Scope
    period: Period
    caps: Caps
    at_cap: AtCap
    by: PrincipalId
    now: Instant
    reason: str
    expected_version: int | None = None


class RemoveBudget(Struct, frozen=True, kw_only=True):
    name: str
    by: PrincipalId
    now: Instant
    reason: str
    expected_version: int | None = None


class ChooseZone(Struct, frozen=True, kw_only=True):
    zone: str
    by: PrincipalId
    reason: str


class TopUp(Struct, frozen=True, kw_only=True):
    """More for the period of `now`. `subject` names one of those that the budget has an account for each."""

    name: str
    amount: Amount
    by: PrincipalId
    now: Instant
    reason: str
    subject: str = ""


class TurnPage(Struct, frozen=True, kw_only=True):
    """Close this page, if it is long enough."""


class OpenPage(Struct, frozen=True, kw_only=True):
    """With what the page before was closed with."""

    opened: PageOpened


ManagedCommand = SetBudget | RemoveBudget | ChooseZone | TopUp
BudgetCommand = Enter | Expire | ManagedCommand | TurnPage | OpenPage
