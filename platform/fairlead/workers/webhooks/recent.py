"""Commits that were just listed, so that what is sent at once is not read again. Forgets the oldest."""

from collections import OrderedDict

from fairlead.ports import AnyRecorded

MAX_BYTES = 4 * 1024 * 1024


class Recent:
    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._kept: OrderedDict[int, AnyRecorded] = OrderedDict()

    def keep(self, recorded: AnyRecorded) -> None:
        if recorded.sequence in self._kept:
            return
        self._kept[recorded.sequence] = recorded
        self._size_bytes += len(recorded.body)
        while self._size_bytes > self._max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._size_bytes -= len(oldest.body)

    def get(self, sequence: int) -> AnyRecorded | None:
        return self._kept.get(sequence)
