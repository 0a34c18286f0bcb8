"""How alike two questions are, by their words. For those who would rather be given an old answer to nearly the same
question: everything else of the two requests is the same, and so is every number in the questions.
"""

import re
import unicodedata
from hashlib import blake2b, sha256
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.models.content import Image, Message, Opaque, Text
from fairlead.domain.models.recording import request_hash
from fairlead.domain.models.request import ModelRequest

MAX_WORDS = 400  # of a question; longer ones are like no other
LEAST_WORDS = 3
BANDS = 8
ROWS = 3
_PRIME = 2**61 - 1
_WORD = re.compile(r"\w+(?:[.,:/-]\w+)*")
_OF = tuple(
    (int.from_bytes(digest[:8], "big") % _PRIME or 1, int.from_bytes(digest[8:16], "big") % _PRIME)
    for digest in (sha256(b"fairlead.likeness.%d" % number).digest() for number in range(BANDS * ROWS))
)


class Likeness(Struct, frozen=True, kw_only=True):
    """`same` is a hash of all that has to be the same. Questions that are alike share one of `bands` at least, most
    likely. `words` are hashes of words and of pairs of them."""

    same: str
    words: frozenset[int]
    bands: tuple[str, ...]


def is_kept(request: ModelRequest) -> bool:
    """Whether the same words mean the same tomorrow: what lies behind an address may have changed."""
    return not any(isinstance(part, Image | Opaque) for message in request.messages for part in message.parts)


def likeness(request: ModelRequest) -> Likeness | None:
    """None where the last message is no question in words, or has too few or too many of them."""
    if not request.messages or not _is_question(request.messages[-1]):
        return None
    *before, last = request.messages
    words = _WORD.findall(unicodedata.normalize("NFKC", _text(last)).casefold())
    if not LEAST_WORDS <= len(words) <= MAX_WORDS:
        return None
    numbers = [word for word in words if any(char.isdigit() for char in word)]
    rest = replace(request, messages=(*before, replace(last, parts=())))
    same = sha256(f"{request_hash(rest)}\0{chr(0).join(numbers)}".encode()).hexdigest()
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    hashes = frozenset(_number(word) for word in (*words, *pairs))
    return Likeness(same=same, words=hashes, bands=_bands(hashes))


def alike(one: frozenset[int], other: frozenset[int]) -> float:
    """Jaccard: what they share of all that they have."""
    return len(one & other) / len(one | other)


def _is_question(message: Message) -> bool:
    return message.role == "user" and bool(message.parts) and all(isinstance(part, Text) for part in message.parts)


def _text(message: Message) -> str:
    return "\n".join(part.text for part in message.parts if isinstance(part, Text))


def _number(word: str) -> int:
    return int.from_bytes(blake2b(word.encode(), digest_size=7).digest(), "big")


def _bands(hashes: frozenset[int]) -> tuple[str, ...]:
    least = [min((a * each + b) % _PRIME for each in hashes) for a, b in _OF]
    rows = [least[at : at + ROWS] for at in range(0, len(least), ROWS)]
    return tuple(f"{number}:{'-'.join(f'{each:x}' for each in row)}" for number, row in enumerate(rows))
