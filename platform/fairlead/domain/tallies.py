"""Places that calls hold against a limit across runs: 'at most three refunds per customer and day'.

There is a stream for each rule, key and period. A call takes a place before the judgement that relies on it and gives
it back when it is not made, so two runs that race never both have the third.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping

from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import Event, Recorded, StreamRef
from fairlead.domain.errors import FairleadError
from fairlead.domain.ids import CallId

ID_CHARS = 26
MAX_HOLDERS = 100_000


def tally_id(*key: str) -> str:
    """`tal_` and 130 bits of a hash: what is counted by may be somebody's name."""
    digest = hashlib.sha256("\x00".join(key).encode("utf-8", "surrogatepass")).digest()
    return "tal_" + base64.b32encode(digest).decode()[:ID_CHARS].lower()


def tally_stream(tenant_id: TenantId, tally: str) -> StreamRef:
    return StreamRef(tenant_id, "tally", tally)


class PlaceTaken(Event, frozen=True, kw_only=True, tag="tally.taken.v1"):
    """A call counts from here on."""

    call_id: CallId
    rule_id: str


class PlaceReturned(Event, frozen=True, kw_only=True, tag="tally.returned.v1"):
    """The call was not made and counts no more."""

    call_id: CallId


TallyEvent = PlaceTaken | PlaceReturned


class TakePlace(Struct, frozen=True, kw_only=True):
    """`limit`: none is given beyond so many. Without it each call is given one, and told which it is."""

    call_id: CallId
    rule_id: str
    limit: int | None = None


class ReturnPlace(Struct, frozen=True, kw_only=True):
    call_id: CallId


TallyCommand = TakePlace | ReturnPlace


class Tally(Struct, frozen=True):
    """Calls that count, in the order in which they came."""

    holders: tuple[CallId, ...] = ()

    def rank(self, call_id: CallId) -> int | None:
        """From 1; None for a call that has no place."""
        return self.holders.index(call_id) + 1 if call_id in self.holders else None


class Want(Struct, frozen=True, kw_only=True):
    """A judgement needs to know this. `takes` a place, or only looks whether another call has one; looking `ahead`, it
    is told the rank that it would be given."""

    tally: str
    call_id: CallId
    rule_id: str
    takes: bool
    limit: int | None = None
    ahead: bool = False


class Place(Struct, frozen=True, kw_only=True):
    """`rank` is the call's own, None for none; `others`: whether any other call has a place."""

    rank: int | None
    others: bool


Places = Mapping[str, Place]


class PlacesWanted(FairleadError):
    """A judgement cannot be given before these are known: find out, and judge again."""

    code = "places_wanted"

    def __init__(self, wants: tuple[Want, ...]) -> None:
        super().__init__(f"{len(wants)} tallies have to be asked")
        self.wants = wants


def initial() -> Tally:
    return Tally()


def decide(command: TallyCommand, state: Tally) -> list[TallyEvent]:
    """Asking twice is not an error. No place is given where there is none."""
    holds = command.call_id in state.holders
    match command:
        case ReturnPlace(call_id=call_id):
            return [PlaceReturned(call_id=call_id)] if holds else []
        case TakePlace(call_id=call_id, rule_id=rule_id, limit=limit):
            most = MAX_HOLDERS if limit is None else min(limit, MAX_HOLDERS)
            return [] if holds or len(state.holders) >= most else [PlaceTaken(call_id=call_id, rule_id=rule_id)]


def evolve(state: Tally, event: TallyEvent) -> Tally:
    match event:
        case PlaceTaken(call_id=call_id):
            return Tally((*state.holders, call_id))
        case PlaceReturned(call_id=call_id):
            return Tally(tuple(holder for holder in state.holders if holder != call_id))


def place_of(state: Tally, want: Want) -> Place:
    """After a place was taken, where one is taken."""
    others = any(holder != want.call_id for holder in state.holders)
    return Place(rank=_ahead(state, want) if want.ahead else state.rank(want.call_id), others=others)


def place_as_of(history: Iterable[Recorded[TallyEvent]], want: Want, through: int) -> Place:
    """What was to be said just after the call took its place, or would have been said at the place `through` of the
    log if it had taken one then. `history` is the tally's."""
    state, own = initial(), None
    for recorded in history:
        if recorded.sequence > through:
            break
        for event in recorded.commit.events:
            state = evolve(state, event)
            if isinstance(event, PlaceTaken) and event.call_id == want.call_id:
                own = place_of(state, want)
    if own is not None and state.rank(want.call_id) is not None:
        return own
    return place_of(state, replace(want, ahead=want.takes or want.ahead))


def _ahead(state: Tally, want: Want) -> int | None:
    """The rank that the call has, or would be given as the next one."""
    found = state.rank(want.call_id)
    if found is not None:
        return found
    return len(state.holders) + 1 if want.limit is None or len(state.holders) < want.limit else None
