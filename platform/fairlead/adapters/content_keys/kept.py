"""Keys as a process remembers them: a bounded number, and nothing that was destroyed."""

from collections import OrderedDict
from collections.abc import Iterable

from fairlead_tenants.ids import TenantId

from fairlead.domain.sealing import ContentKey

MOST = 20_000  # keys of a process, some 500 bytes each


class Kept:
    """What was destroyed is known for ever, also when an older database brings the key back."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._keys: OrderedDict[tuple[TenantId, str], ContentKey | None] = OrderedDict()  # by id; None: destroyed
        self._current: OrderedDict[tuple[TenantId, str], ContentKey] = OrderedDict()  # by data subject
        self._destroyed: set[tuple[TenantId, str]] = set()

    def current(self, tenant_id: TenantId, subject: str) -> ContentKey | None:
        return self._current.get((tenant_id, subject))

    def found(self, tenant_id: TenantId, key_ids: Iterable[str]) -> dict[str, ContentKey | None]:
        """Those that are known."""
        found: dict[str, ContentKey | None] = {}
        for key_id in key_ids:
            place = tenant_id, key_id
            if place in self._destroyed:
                found[key_id] = None
            elif place in self._keys:
                self._keys.move_to_end(place)
                found[key_id] = self._keys[place]
        return found

    def is_destroyed(self, tenant_id: TenantId, key_id: str) -> bool:
        return (tenant_id, key_id) in self._destroyed

    def keep(self, tenant_id: TenantId, key_id: str, key: ContentKey | None) -> None:
        if not self.is_destroyed(tenant_id, key_id):
            self._keys[tenant_id, key_id] = key
            if len(self._keys) > self._most:
                self._keys.popitem(last=False)

    def keep_current(self, tenant_id: TenantId, subject: str, key: ContentKey) -> None:
        if not self.is_destroyed(tenant_id, key.key_id):
            self._current[tenant_id, subject] = key
            if len(self._current) > self._most:
                self._current.popitem(last=False)

    def ids(self, tenant_id: TenantId, subject: str | None) -> list[str]:
        """Of keys that new content is sealed under."""
        return [
            key.key_id
            for (whose, about), key in self._current.items()
            if whose == tenant_id and subject in (None, about)
        ]

    def forget(self, tenant_id: TenantId, key_ids: Iterable[str]) -> None:
        """They were destroyed."""
        gone = frozenset(key_ids)
        for key_id in gone:
            self._destroyed.add((tenant_id, key_id))
            self._keys.pop((tenant_id, key_id), None)
        for place in [each for each, key in self._current.items() if each[0] == tenant_id and key.key_id in gone]:
            del self._current[place]
