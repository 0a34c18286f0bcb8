"""Results within one process."""

from secrets import token_hex

import msgspec

from fairlead.domain.results import AnyKey, Entry, Found, KeptResult, entry

_decode = msgspec.json.Decoder(Entry).decode


class MemoryResults:
    def __init__(self) -> None:
        self._epochs: dict[tuple[str, str], str] = {}
        self._slots: dict[tuple[str, int], bytes] = {}

    async def find(self, key: AnyKey) -> Found:
        epoch = self._epochs.setdefault((key.tenant_id, key.connector), token_hex(16))
        body = self._slots.get((key.tenant_id, key.slot))
        return found(key, epoch, body)

    def keep(self, key: AnyKey, epoch: str, kept: KeptResult) -> None:
        if epoch and (body := entry(key, epoch, kept)) is not None:
            self._slots[key.tenant_id, key.slot] = body

    async def drop(self, tenant_id: str) -> None:
        self._slots = {place: body for place, body in self._slots.items() if place[0] != tenant_id}

    async def forget(self, tenant_id: str, connector: str, surely: bool) -> None:  # noqa: ARG002  # it always is
        self._epochs[tenant_id, connector] = token_hex(16)


def found(key: AnyKey, epoch: str, body: bytes | None) -> Found:
    """What lies in the key's slot may be another key's, or from before the last write."""
    try:
        there = _decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        there = None
    if there is None or (there.digest, there.epoch) != (key.digest, epoch):
        return Found(epoch=epoch)
    return Found(epoch=epoch, kept=there.kept)
