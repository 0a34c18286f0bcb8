"""Reading a wire's JSON field by field, so that what nobody took is known; and writing it back in its place."""

from typing import Any, TypeVar

from fairlead_sdk.models import Wire

from fairlead.domain.models.content import Extra, Opaque
from fairlead.domain.models.errors import Unreadable, Untranslatable

T = TypeVar("T")
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object"}


class Fields:
    """One object. Messages name the place and never quote what stood there. A null is the same as nothing."""

    def __init__(self, wire: Wire, body: Any, path: str) -> None:
        if not isinstance(body, dict):
            raise Unreadable(path, "this is an object")
        self.wire = wire
        self.path = path
        self._left: dict[str, Any] = dict(body)

    def take(self, name: str, kind: type[T]) -> T | None:
        """Raises Unreadable for another kind of value."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        if not _is(value, kind):
            raise Unreadable(f"{self.path}/{name}", f"this is {_WORDS[kind]}")
        found: T = value
        return found

    def need(self, name: str, kind: type[T]) -> T:
        value = self.take(name, kind)
        if value is None:
            raise Unreadable(f"{self.path}/{name}", f"this is missing: it is {_WORDS[kind]}")
        return value

    def text(self, name: str) -> str:
        return self.take(name, str) or ""

    def any(self, name: str) -> Any:
        return self._left.pop(name, None)

    def many(self, name: str) -> list[Any]:
        value = self._left.pop(name, None)
        if value is None:
            return []
        if not isinstance(value, list):
            raise Unreadable(f"{self.path}/{name}", "this is a list")
        return value

    def inner(self, name: str) -> "Fields":
        """An object that may be missing."""
        return Fields(self.wire, self.take(name, dict) or {}, f"{self.path}/{name}")

    def keep(self, name: str, left: Any) -> None:
        """Put back what of a field was not understood."""
        if left not in ({}, [], None):
            self._left[name] = left

    @property
    def left(self) -> dict[str, Any]:
        return self._left

    def extra(self) -> Extra | None:
        return Extra(self.wire, self._left) if self._left else None


def _is(value: Any, kind: type[Any]) -> bool:
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, int | float if kind is float else kind)


class Writing:
    """One document on its way to a wire, and what had no place in it."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.left_out: list[str] = []

    def leave(self, what: str) -> None:
        if what not in self.left_out:
            self.left_out.append(what)

    def merged(self, body: dict[str, Any], extra: Extra | None, what: str) -> dict[str, Any]:
        """With the fields that we have no word for, where they stood. What we know wins."""
        if extra is None:
            return body
        if extra.wire is not self.wire:
            for name in extra.fields:
                self.leave(f"{what}.{name}")
            return body
        found: dict[str, Any] = beneath(body, extra.fields)
        return found


def own(opaque: Opaque, out: Writing, path: str) -> Any:
    """Raises Untranslatable for a thing of another wire."""
    if opaque.wire is not out.wire:
        raise Untranslatable(path, f"this is known to {opaque.wire} only")
    return opaque.body


def beneath(body: Any, under: Any) -> Any:
    """`under` shows where `body` says nothing; lists are laid over each other place by place."""
    match body, under:
        case dict(), dict():
            known = {name: beneath(value, under[name]) if name in under else value for name, value in body.items()}
            return known | {name: value for name, value in under.items() if name not in body}
        case list(), list():
            laid = [beneath(value, under[place]) for place, value in enumerate(body[: len(under)])]
            return laid + body[len(under) :]
    return body


def present(**fields: Any) -> dict[str, Any]:
    """Without what is None."""
    return {name: value for name, value in fields.items() if value is not None}
