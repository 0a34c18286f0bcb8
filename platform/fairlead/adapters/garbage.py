"""Python's search for cycles, held to what a process makes while it works.

What is there once a process has started stays until it ends: modules, schemas, compiled types. Going through that over
and over for garbage took a tenth of a worker's time. Most of what requests and calls leave behind has no cycles and
goes at once, so cycles are looked for when more has gathered.
"""

import gc

YOUNG = 20_000  # containers made since the last search, of which few live: some megabytes
OLDER = 20  # searches among the young before one among those that outlived one
OLDEST = 20


def spare_what_stays() -> None:
    """Once it is there. Garbage that is there now is taken away first."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDEST)
