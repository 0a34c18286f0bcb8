"""Why something cannot be done with a budget."""

from fairlead.domain.errors import FairleadError, NotFound, Rejected


class NoSuchBudget(NotFound):
    """The tenant has no budget of this name."""

    code = "budget_not_found"


class BudgetMoved(FairleadError):
    """Somebody changed it since it was read: the version is another."""

    code = "budget_moved"


class TooManyBudgets(Rejected):
    """The tenant has as many as it can: one for `each` serves many."""

    code = "too_many_budgets"


class PageTurned(FairleadError):
    """The book goes on in the next page."""

    code = "budget_page_turned"
