"""Texts that people take for the same one, spelled otherwise: composed and wide forms, characters that nobody sees,
letters of other alphabets that look like Latin ones."""

import unicodedata
from collections.abc import Iterator
from typing import Any

import msgspec

_UNSEEN = frozenset(("Cf", "Cc"))
_SEEN_ALL_THE_SAME = frozenset("\t\n\r")
_FOREIGN = "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u051d\u04bb\u0475"  # Cyrillic
_FOREIGN += "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0423\u0406\u0408\u0405\u0417"
_FOREIGN += "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"  # Greek
_FOREIGN += "\u03b1\u03bf\u03bd\u03c1\u0131\u0251\u0261\u01c0\u0269\u03f2\u217c\u2223"
_LATIN = "aeopcyxijsdqwhv" + "ABEKMHOPCTXYIJS3" + "ABEZHIKMNOPTYX" + "aovpiaglicll"
_LOOKALIKES = str.maketrans(_FOREIGN, _LATIN)


def plain(text: str) -> str:
    """As a person reads it. Case stays."""
    if text.isascii() and text.isprintable():
        return text
    seen = "".join(char for char in unicodedata.normalize("NFKC", text) if not is_unseen(char))
    return seen.translate(_LOOKALIKES)


def is_unseen(char: str) -> bool:
    return char not in _SEEN_ALL_THE_SAME and unicodedata.category(char) in _UNSEEN


def plainly(value: Any) -> Any:
    """The JSON value with every text in it as a person reads it; the very same where that changes nothing."""
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return value  # no condition can be asked of it
    if encoded.isascii() and b"\\u00" not in encoded and b"\x7f" not in encoded:
        return value
    other = _plainly(value)
    return value if other == value else other


def _plainly(value: Any) -> Any:
    match value:
        case str():
            return plain(value)
        case dict():
            return {plain(str(name)): _plainly(each) for name, each in value.items()}
        case list() | tuple():
            return [_plainly(each) for each in value]
    return value


def unseen_in(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where texts have characters that nobody sees. The value has been bounded in depth and size."""
    match value:
        case str() if any(map(is_unseen, value)) and not value.isprintable():
            yield place
        case dict():
            for name, each in value.items():
                yield from unseen_in(name, (*place, name))
                yield from unseen_in(each, (*place, name))
        case list():
            for index, each in enumerate(value):
                yield from unseen_in(each, (*place, index))
