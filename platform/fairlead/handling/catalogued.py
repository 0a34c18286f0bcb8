"""The catalogue of connectors as of now, from its own streams: there are few, and each is short."""

from fairlead.domain.codec import Unreadable
from fairlead.domain.connectors.catalogue import Listed, evolve, initial
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.ids import PREFIX_OF_KIND
from fairlead.ports import Log


async def catalogued(log: Log) -> dict[str, Listed]:
    """Every connector that was ever published, by name. Raises UnreadableCommit: half of what was decided is none."""
    found: dict[str, Listed] = {}
    async with log.follow(LogSequence(0), kinds=("connector",)) as batches:
        async for batch in batches:
            if not batch:
                break
            for each in batch:
                if isinstance(each, Unreadable):
                    raise each.reason
                name = each.stream.id.removeprefix(PREFIX_OF_KIND["connector"])
                for event in each.commit.events:
                    found[name] = evolve(found.get(name, initial()), event)
    return dict(sorted(found.items()))
