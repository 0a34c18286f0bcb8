"""Names for tools and arguments: of foreign words, words that a document can use."""

import hashlib
import re
from collections.abc import Container

MAX_TOOL = 80  # after the set's name and the dot

_BREAKS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_WORD = re.compile(r"[^A-Za-z0-9]+")
_PARAMETER = re.compile(r"\{([^{}]*)\}")
_VERBS = {"get": "get", "post": "create", "put": "replace", "patch": "update", "delete": "delete", "head": "check"}


def snake(text: str) -> str:
    """`listPets`, `pets/list-all` and `HTTPServer` become `list_pets`, `pets_list_all` and `http_server`."""
    return "_".join(word.lower() for word in _NO_WORD.split(_BREAKS.sub("_", text)) if word)


def tool_name(method: str, path: str, operation_id: str | None, taken: Container[str]) -> str:
    """After the set's dot. Of the operation's id, or of what it does to what; the same for the same description."""
    for candidate in (snake(operation_id or ""), _by_path(method, path), snake(f"{method} {path}")):
        name = _fitting(candidate, f"{method} {path}")
        if name and name not in taken:
            return name
    return _fitting(f"{snake(f'{method} {path}')}_{_digest(method + path)}", path)


def argument_name(name: str, place: str, taken: Container[str]) -> str:
    """`filter[name]` is `filter_name`; a second of the same name says where it goes."""
    plain = "_".join(filter(None, re.split(r"[^A-Za-z0-9_]+", name))).strip("_") or "value"
    plain = f"n{plain}" if plain[0].isdigit() else plain
    numbered = (f"{plain}_{place}{number or ''}" for number in range(1_000_000))
    return plain if plain not in taken else next(each for each in numbered if each not in taken)


def resource(path: str) -> str:
    """What an operation is about: the last part of its path that is not a parameter."""
    words = [snake(part) for part in path.split("/") if part and not _PARAMETER.search(part)]
    return next((word for word in reversed(words) if word and word[0].isalpha()), "record")


def _by_path(method: str, path: str) -> str:
    parts = [part for part in path.split("/") if part]
    words = [snake(part) for part in parts if not _PARAMETER.search(part)]
    ends_with = _PARAMETER.search(parts[-1]) if parts else None
    verb = "list" if method == "get" and not ends_with else _VERBS[method]
    by = ["by", snake(ends_with[1])] if ends_with else []
    return "_".join(filter(None, [verb, *words, *by]))


def _fitting(name: str, of: str) -> str:
    """Within the bound, and beginning with a letter."""
    if name and not name[0].isalpha():
        name = f"call_{name}"
    return name if len(name) <= MAX_TOOL else f"{name[: MAX_TOOL - 9].rstrip('_')}_{_digest(of + name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
