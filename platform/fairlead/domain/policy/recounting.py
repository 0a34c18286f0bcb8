"""What rules that count would have counted over the past, if they had been in force."""

from collections.abc import Iterable

from fairlead.domain.ids import CallId
from fairlead.domain.tallies import Place, Places, Want

MAX_PLACES = 200_000  # that are kept in mind


class Recount:
    """Tallies of nobody's, in the order in which calls were judged. `full`: from then on nothing is counted."""

    def __init__(self, most: int = MAX_PLACES) -> None:
        self._most = most
        self._holders: dict[str, set[CallId]] = {}
        self._held: dict[CallId, frozenset[str]] = {}
        self._places = 0
        self.full = False

    def answers(self, wants: Iterable[Want]) -> Places:
        """As if each call took the next place."""
        return {want.tally: self._place(want) for want in wants}

    def take(self, call_id: CallId, tallies: Iterable[str]) -> None:
        wanted = frozenset(tallies) - self._held.get(call_id, frozenset())
        if not wanted:
            return
        if self._places + len(wanted) > self._most:
            self.full = True
            return
        self._held[call_id] = self._held.get(call_id, frozenset()) | wanted
        self._places += len(wanted)
        for tally in wanted:
            self._holders.setdefault(tally, set()).add(call_id)

    def give_back(self, call_id: CallId) -> None:
        for tally in self._held.pop(call_id, ()):
            self._holders[tally].discard(call_id)
            self._places -= 1

    def _place(self, want: Want) -> Place:
        others = len(self._holders.get(want.tally, frozenset()) - {want.call_id})
        rank = others + 1 if want.limit is None or others < want.limit else None
        return Place(rank=rank, others=others > 0)
