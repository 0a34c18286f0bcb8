"""Draws lots by weight, the same for the same key: who is drawn for a key stays so while others come, go or weigh less.

Each candidate has a number of its own for each key, and the lowest wins (weighted rendezvous hashing).
"""

import math
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

_RANGE = 2.0**64


class Lot(NamedTuple):
    name: str
    weight: float


def drawn(key: str, lots: Sequence[Lot]) -> list[str]:
    """In the order in which they would be drawn one after the other. Who weighs nothing comes last, as it stands."""
    weighty = sorted((lot for lot in lots if lot.weight > 0), key=lambda lot: (_number(key, lot), lot.name))
    return [lot.name for lot in weighty] + [lot.name for lot in lots if lot.weight <= 0]


def unit(key: str, name: str) -> float:
    """Evenly spread over 0 to 1, both left out."""
    digest = sha256(f"{name}\x00{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") + 0.5) / _RANGE


def _number(key: str, lot: Lot) -> float:
    """Exponentially distributed with the weight as its rate."""
    return -math.log(unit(key, lot.name)) / lot.weight
