"""What stays is not gone through for garbage; what is made afterwards is."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from fairlead.adapters.garbage import YOUNG, spare_what_stays


class Node:
    def __init__(self) -> None:
        self.other: Node | None = None


@pytest.fixture
def as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("as_it_was")
def test_what_is_there_is_spared_and_cycles_that_come_later_are_found() -> None:
    spare_what_stays()
    spared, node = gc.get_freeze_count(), Node()
    node.other = Node()
    node.other.other = node
    gone = ref(node)
    del node
    made: list[list[int]] = [[] for _ in range(2 * YOUNG)]  # enough for a search to begin by itself
    assert spared > 0
    assert len(made) > YOUNG
    assert gone() is None
