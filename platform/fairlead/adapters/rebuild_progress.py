"""How far a rebuild has come, read from the position that it commits with its rows."""

from msgspec import Struct

from fairlead.adapters.postgres import Database

_AT = "SELECT sequence FROM rebuild.projection_positions WHERE shard = %(shard)s AND name = %(name)s"


class _Position(Struct, frozen=True):
    sequence: int


async def rebuilt_up_to(owner: Database, name: str, shard: int = 0) -> int:
    """Sequence of the last commit folded; 0 before the first and when no rebuild runs."""
    async with owner.platform() as tx:
        found = await tx.row(_AT, {"shard": shard, "name": name}, _Position)
    return found.sequence if found else 0
