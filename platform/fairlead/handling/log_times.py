"""Places on the log by time: for whoever wishes for everything since then."""

from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.instant import Instant
from fairlead.ports import Log


async def sequence_before(log: Log, at: Instant) -> LogSequence:
    """The last place such that everything recorded at that time or later is past it, as far as clocks agree.

    About one question for each doubling of the log's length. Raises Unavailable.
    """
    before, end = 0, int(await log.last_sequence())
    while before < end:
        middle = (before + end) // 2
        found = await _time_past(log, middle)
        if found is None or found >= at:
            end = middle
        else:
            before = middle + 1
    return LogSequence(before)


async def _time_past(log: Log, sequence: int) -> Instant | None:
    """When the next commit that can be read was recorded."""
    async with log.follow(LogSequence(sequence), max_batch=10) as batches:
        async for batch in batches:
            if not batch:
                return None
            for recorded in batch:
                if not isinstance(recorded, Unreadable):
                    return recorded.commit.at
    raise AssertionError("a log is followed without end")
