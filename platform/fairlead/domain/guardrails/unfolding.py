"""A text as a model may understand it: look-alike letters folded, unseen ones taken out, and what is written in another
code read."""

import base64
import binascii
import unicodedata
from collections.abc import Iterator
from typing import Any

import re2

from fairlead.domain.policy.spelling import plain

MAX_CODED = 20  # pieces in a code that are read, of one text
_SPACES = re2.compile(r"[\s_*`~]+")
_SPELLED = re2.compile(r"\b(?:\pL[ .\-_]{1,3}){6,}\pL\b")
_BASE64 = re2.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re2.compile(r"\b(?:[0-9a-fA-F]{2}[ :]?){12,}\b")
_PERCENT = re2.compile(r"(?:%[0-9a-fA-F]{2}){2,}")
_ESCAPED = re2.compile(r"(?:\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}){4,}")
_LEET = str.maketrans("013457@$!", "oieastasi")
_ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
_ROT13_WORDS = ("vtaber", "qvfertneq", "sbetrg", "olcnff", "erirny", "vafgehpgvba", "cebzcg")
_ENTITY = re2.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|(lt|gt|amp|quot|nbsp|apos));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "nbsp": " ", "apos": "'"}


def readings(text: str) -> Iterator[str]:
    """Lower case, single spaces. The text itself, then what else it may say."""
    said = folded(text)
    yield said
    latin = plain(said)
    if latin != said and any("a" <= each <= "z" for each in said):
        yield latin
    leet = latin.translate(_LEET)
    if leet != latin:
        yield leet
    if any(word in said for word in _ROT13_WORDS):
        yield said.translate(_ROT13)
    for spelled in _SPELLED.finditer(text):
        yield folded("".join(each for each in spelled.group() if each.isalpha()))
    for coded in decoded(text):
        yield folded(coded)


def folded(text: str) -> str:
    """Compatible forms made one (wide letters, ligatures), accents kept, unseen characters gone."""
    form = unicodedata.normalize("NFKC", _ENTITY.sub(_entity, text) if "&" in text else text)
    if not form.isascii():
        form = "".join(each for each in form if not _is_unread(each))
    return str(_SPACES.sub(" ", form.lower()))


def _is_unread(char: str) -> bool:
    """Seen by nobody, or an accent on top of others."""
    return "\u0300" <= char <= "\u036f" or unicodedata.category(char) in ("Cf", "Co")


def _entity(match: Any) -> str:
    number, hexadecimal, name = match.groups()
    if name:
        return _NAMED[name]
    point = int(number) if number else int(hexadecimal, 16)
    return chr(point) if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF else ""


def decoded(text: str) -> Iterator[str]:
    """What pieces in a code say, where that is text. Also what is hidden in the block of tags."""
    hidden = "".join(chr(ord(each) - 0xE0000) for each in text if 0xE0020 <= ord(each) <= 0xE007E)
    if hidden:
        yield hidden
    if "%" in text and _PERCENT.search(text):
        yield _unquoted(text)
    if "\\" in text and _ESCAPED.search(text):
        yield _unescaped(text)
    for number, match in enumerate(_BASE64.finditer(text)):
        if number == MAX_CODED:
            break
        yield from _printable(_of_base64(match.group()))
    for number, match in enumerate(_HEX.finditer(text)):
        if number == MAX_CODED:
            break
        yield from _printable(_of_hex(match.group()))


def _of_base64(piece: str) -> bytes:
    plain = piece.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain[: len(plain) - (len(plain) % 4 == 1)] + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _of_hex(piece: str) -> bytes:
    try:
        return bytes.fromhex(piece.replace(":", " "))
    except ValueError:
        return b""


def _unquoted(text: str) -> str:
    """Percent signs read, without a library that opens addresses."""
    read = _PERCENT.sub(lambda match: bytes.fromhex(match.group().replace("%", "")).decode("utf-8", "replace"), text)
    return str(read)


def _unescaped(text: str) -> str:
    def said(match: Any) -> str:
        pieces = match.group().replace("\\u", " ").replace("\\x", " ").split()
        return (
            "".join(chr(int(each, 16)) for each in pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )

    return str(_ESCAPED.sub(said, text))


def _printable(body: bytes) -> Iterator[str]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return
    if len(text) >= 8 and all(each.isprintable() or each.isspace() for each in text):
        yield text
