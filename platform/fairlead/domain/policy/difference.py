"""What one version of a document changes of another. Rules are told apart by their ids and not by their places."""

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

MAX_CHANGES = 2_000


class Change(Struct, frozen=True, kw_only=True):
    """`path` names a rule by its id: `/rules/no-deletes/when`. `before` is what stood there."""

    op: Literal["add", "remove", "replace", "move"]
    path: str
    value: Any = None
    before: Any = None


def difference(old: Any, new: Any) -> list[Change]:
    """At most MAX_CHANGES, in order of path."""
    return [change for change, _ in zip(_changes("", old, new), range(MAX_CHANGES), strict=False)]


def _changes(path: str, old: Any, new: Any) -> Iterator[Change]:
    match old, new:
        case dict(), dict():
            yield from _members(path, old, new)
        case list(), list() if _have_ids(old) and _have_ids(new):
            before, after = _by_id(old), _by_id(new)
            yield from _members(path, before, after)
            kept = [name for name in before if name in after]
            if kept != [name for name in after if name in before]:
                yield Change(op="move", path=path, before=kept, value=[name for name in after if name in before])
        case _ if type(old) is not type(new) or old != new:
            yield Change(op="replace", path=path, value=new, before=old)


def _members(path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys()):
        here = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in new:
            yield Change(op="remove", path=here, before=old[name])
        elif name not in old:
            yield Change(op="add", path=here, value=new[name])
        else:
            yield from _changes(here, old[name], new[name])


def _have_ids(items: list[Any]) -> bool:
    return all(isinstance(item, dict) and isinstance(item.get("id"), str) for item in items)


def _by_id(items: list[Any]) -> dict[str, Any]:
    return {item["id"]: item for item in items}
