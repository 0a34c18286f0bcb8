"""Rules over what has already happened: in the run, in the session, in the tenant."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from fairlead_sdk.contract import Effect
from msgspec import Struct

from fairlead.domain.expressions import Expression, ExpressionFailed
from fairlead.domain.ids import CallId
from fairlead.domain.instant import Instant
from fairlead.domain.policy.document import AtMost, Happened, Period, Rule, Within
from fairlead.domain.policy.spelling import plain
from fairlead.domain.tallies import Place, Places, PlacesWanted, Want, tally_id

TRIED = "tried:"  # before the name of a rule that counts for a policy that is only tried
_MARK = "+mark"
SESSION = "session"  # the label of a run that says which session it is part of
_STAMP: dict[Period, str] = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m", "ever": ""}


class Past(Struct, frozen=True, kw_only=True):
    """What a call's sequence rules look at. `made` are the run's other calls that went out: tool and effect, None for
    one that nobody knows any more. Each environment is counted for itself: what is tried out uses up nothing. `held`
    are the tallies that the call has been given places in, by rule.

    `counts` False: nothing is counted and nothing asked.
    """

    call_id: CallId = CallId("")
    run_id: str = ""
    environment: str = ""
    session: str = ""
    made: tuple[tuple[str, Effect | None], ...] = ()
    held: Mapping[str, str] = {}
    places: Places = {}
    counts: bool = False


class Asking:
    """The questions of one judgement. What is not known yet is gathered, and asked for all at once.

    `alike` is there for a policy that is only tried, and names its rules that decide as well: those only look at the
    tallies of what decides. Its other rules have tallies of their own.
    """

    def __init__(self, past: Past, now: Instant, alike: frozenset[str] | None = None) -> None:
        self._past = past
        self._now = now
        self._alike = alike
        self._wants: dict[str, Want] = {}
        self.used: dict[str, str] = {}

    def applies(self, name: str, rule: Rule, per: Expression | None, variables: dict[str, Any]) -> bool:
        """Whether what the rule says of the past holds; False as well while that is not known. Raises
        ExpressionFailed."""
        if rule.after is not None and not self._happened(name, rule.after):
            return False
        return rule.at_most is None or self._is_beyond(name, rule, rule.at_most, per, variables)

    def mark(self, name: str, after: Happened, tool: str, effect: Effect) -> None:
        """Where the call is what a rule waits for to happen, it counts from now on."""
        if after.within == "run" or not self._past.counts or not matches(after, tool, effect):
            return
        if self._alike is None or name not in self._alike:
            self._ask(f"{name}{_MARK}", self._mark_of(name, after), takes=True, limit=None)

    def settle(self) -> None:
        """Raises PlacesWanted while something is not known."""
        if self._wants:
            raise PlacesWanted(tuple(self._wants.values()))

    def _happened(self, name: str, after: Happened) -> bool:
        if after.within == "run":
            return any(matches(after, tool, effect) for tool, effect in self._past.made)
        if not self._past.counts:
            return False
        place = self._ask(name, self._mark_of(name, after), takes=False, limit=None)
        return place is not None and place.others

    def _is_beyond(
        self, name: str, rule: Rule, most: AtMost, per: Expression | None, variables: dict[str, Any]
    ) -> bool:
        if not self._past.counts:
            return False
        key = _key(per.value(variables)) if per is not None else ""
        stamp = self._now.astimezone(UTC).strftime(_STAMP[most.period])
        counted = self._counted(name)
        tally = self._past.held.get(counted) or tally_id(counted, "count", self._where(most.within), key, stamp)
        limit = most.count if rule.verdict == "deny" else None
        place = self._ask(name, tally, takes=self._alike is None or name not in self._alike, limit=limit)
        return place is not None and (place.rank is None or place.rank > most.count)

    def _mark_of(self, name: str, after: Happened) -> str:
        return tally_id(self._counted(name), "mark", self._where(after.within))

    def _counted(self, name: str) -> str:
        """What the rule's tallies go by."""
        return name if self._alike is None or name in self._alike else f"{TRIED}{name}"

    def _where(self, within: Within) -> str:
        match within:
            case "run":
                return f"run/{self._past.run_id}"
            case "session":
                return (
                    f"session/{self._past.environment}/{self._past.session}"
                    if self._past.session
                    else f"run/{self._past.run_id}"
                )
            case "tenant":
                return f"tenant/{self._past.environment}"

    def _ask(self, name: str, tally: str, *, takes: bool, limit: int | None) -> Place | None:
        if takes:
            self.used[self._counted(name)] = tally
        place = self._past.places.get(tally)
        if place is None or (takes and place.rank is None and limit is None):
            known = self._wants.get(tally)
            if known is None or (takes and not known.takes):
                self._wants[tally] = Want(
                    tally=tally,
                    call_id=self._past.call_id,
                    rule_id=self._counted(name),
                    takes=takes,
                    limit=limit,
                    ahead=not takes,
                )
        return place


def rule_of(want: Want) -> str:
    """The id of the rule that wants it, without its layer."""
    return want.rule_id.removesuffix(_MARK).rpartition(":")[2]


def matches(after: Happened, tool: str, effect: Effect | None) -> bool:
    """A tool that nobody knows any more could have had any effect."""
    return (
        (not after.tools or tool in after.tools)
        and (not after.connectors or tool.partition(".")[0] in after.connectors)
        and (not after.effects or effect is None or effect in after.effects)
    )


def _key(value: Any) -> str:
    """What is counted by: `1`, `"1"` and `true` are not the same, and spellings of a text that a counterpart may take
    for each other are. Raises ExpressionFailed for what is no key."""
    match value:
        case bool() | int():
            return f"{type(value).__name__}:{value}"
        case float() if value.is_integer():
            return f"int:{int(value)}"
        case str() if seen := plain(value).casefold().strip():
            return f"str:{seen}"
    raise ExpressionFailed("what is counted by is a text, a whole number or a truth")
