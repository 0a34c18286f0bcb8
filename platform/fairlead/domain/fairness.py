"""How tenants share the places of one worker: nobody may take them all, and whoever has had none finds one at once."""

KEENNESS = 7  # for each place that stays free a tenant may have so many: alone, seven of eight


def may_take(has: int, used: int, places: int) -> bool:
    """Whether a tenant that `has` so many of the `used` places may have one more.

    The more places are free the more each may have. With one tenant at it an eighth stays free, with many at it less;
    of fewer than eight places one tenant may have all.
    """
    free = places - used
    return free > 0 and has < KEENNESS * free


def most_more(has: int, used: int, places: int) -> int:
    """How many more it may take if nobody else takes any meanwhile."""
    free = places - used
    return max(0, min(free, (KEENNESS * free - has - 1) // (KEENNESS + 1) + 1))
