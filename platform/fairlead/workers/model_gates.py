"""Models are asked through the gates that calls of tools pass: a provider is a counterpart like any other, with its
breaker, its limits, and those that it has told itself."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from fairlead_sdk.contract import Effect

from fairlead.domain.connections.naming import connection_id
from fairlead.domain.models.failures import FailureClass, Window
from fairlead.domain.runs.commands import CallErred, CallSucceeded
from fairlead.domain.runs.events import ErrorClass
from fairlead.domain.throttling import Limit
from fairlead.handling.model_entrance import Counter, Ended, Entered, Held, HeldBy
from fairlead.workers import gates as g
from fairlead.workers.answering import Result

KEPT_ACCOUNTS = 10_000
MINUTE_S = 60.0
_Account = tuple[str, str, str, str]  # tenant, environment, provider, id of the connection
_TOOL = "models"  # what the counterpart is asked for, after the provider's name
_CLASS_OF: dict[FailureClass, ErrorClass] = {
    "transient": "transient",
    "rate_limited": "rate_limited",
    "timeout": "timeout",
    "permission": "permission",
    "permanent": "permanent",
    "validation": "validation",
    "content_refused": "validation",
    "context_too_long": "validation",
}


class ToldLimits:
    """The limits of a call and, of a provider of models, so many calls a minute as it has told of itself."""

    def __init__(self, limits_of: g.LimitsOf) -> None:
        self._limits_of = limits_of
        self._told: OrderedDict[_Account, int] = OrderedDict()

    async def __call__(self, asked: g.Asked) -> Sequence[Limit]:
        limits = [*await self._limits_of(asked)]
        account = (asked.tenant_id, asked.environment_id, asked.connector, asked.connection)
        if (told := self._told.get(account)) is not None:
            key, name = "told/" + "/".join(account), f"provider {asked.connector}"
            limits.insert(0, Limit(key=key, name=name, calls_per_minute=told))
        return limits

    def learn(self, counter: Counter, windows: Iterable[Window]) -> None:
        """It counts once the limits of the account are looked up again."""
        for window in windows:
            is_for_a_minute = window.resets_in_s is None or window.resets_in_s <= MINUTE_S
            if window.kind == "requests" and window.limit and is_for_a_minute:
                account = (counter.tenant_id, counter.environment_id, counter.provider, account_of(counter))
                self._told[account] = window.limit
                self._told.move_to_end(account)
        while len(self._told) > KEPT_ACCOUNTS:
            self._told.popitem(last=False)


class ModelGates:
    """Implements `handling.model_entrance.Entrance`. `gates` are asked for the limits of `told`."""

    def __init__(self, gates: g.Gates, told: ToldLimits) -> None:
        self._gates = gates
        self._told = told

    async def closed_for_s(self, counter: Counter) -> float | None:
        return await self._gates.closed_for_s(_asked(counter))

    async def enter(self, counter: Counter, timeout_s: float) -> Entered | Held:
        try:
            entered = await self._gates.enter(_asked(counter, timeout_s))
        except g.PutBack as held:
            held_for: HeldBy = "concurrency" if held.held_for == "concurrency" else "rate"
            return Held(held_for=held_for, subject=held.subject, wait_s=held.wait_s)
        if isinstance(entered, g.Instead):
            return Held(held_for="outage", subject=counter.provider, wait_s=g.PROBED_S)
        return Entered(counter, entered)

    async def leave(self, entered: Entered, ended: Ended | None) -> None:
        if ended is not None:
            self._told.learn(entered.counter, ended.windows)
        await self._gates.leave(entered.passed, None if ended is None else _result(ended))


def _asked(counter: Counter, timeout_s: float = 0.0) -> g.Asked:
    return g.Asked(
        tenant_id=counter.tenant_id,
        environment_id=counter.environment_id,
        tool=f"{counter.provider}.{_TOOL}",
        effect=Effect.READ,
        timeout_s=timeout_s,
        on_outage="fail",
        connection=account_of(counter),
    )


def account_of(counter: Counter) -> str:
    """The id of the connection that is named; else empty."""
    if not counter.connection:
        return ""
    return connection_id(counter.tenant_id, counter.workspace_id, counter.environment_id, counter.connection)


def _result(ended: Ended) -> Result:
    if ended.error_class is None:
        return CallSucceeded(output=None)
    return CallErred(error_class=_CLASS_OF[ended.error_class], code=ended.code, message="")
