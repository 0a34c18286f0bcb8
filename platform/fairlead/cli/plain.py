"""Text from elsewhere, made harmless for a terminal.

Names, reasons and tool outputs are written by others. A control character in them could move the cursor over what was
printed before, and a change of writing direction could show another order than is there.
"""

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ALLOWED = "\n\u200d"  # the joiner holds emoji together


def plain(text: str) -> str:
    """The same text with what a terminal would act on written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_safe(char) else char.encode("unicode_escape").decode() for char in text)


def plain_json(text: str) -> str:
    """JSON that means the same and has no such character; they can only stand within strings."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(char if _is_safe(char) else _escaped(char) for char in text)


def _is_safe(char: str) -> bool:
    return char in _ALLOWED or unicodedata.category(char) not in _UNSAFE


def _escaped(char: str) -> str:
    """As JSON escapes it: in units of UTF-16."""
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
