"""What counts as plain data: JSON of bounded size and depth. Checked first, so that the other checks may recurse."""

import hashlib
import math
from itertools import islice
from typing import Any

import rfc8785

from fairlead.domain.errors import Problem
from fairlead.domain.policy.spelling import unseen_in
from fairlead.domain.redaction import secrets_in
from fairlead.domain.workflow.document import MAX_DOCUMENT_BYTES
from fairlead.domain.workflow.reading import Place

MAX_DEPTH = 100
MAX_PROBLEMS = 100
MAX_INTEGER = 2**53 - 1  # what RFC 8785 can write


def pointer(place: Place) -> str:
    """JSON Pointer, RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)


def document_hash(document: Any) -> str:
    """SHA-256 of the canonical JSON (RFC 8785), in hex."""
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def plain_problems(document: Any) -> list[Problem]:
    """Why this is not plain data of bounded size. Counts every visit, so an alias met twice costs twice."""
    problems: list[Problem] = []
    waiting: list[tuple[Place, Any]] = [((), document)]
    visits = 0
    while waiting and len(problems) < MAX_PROBLEMS:
        place, value = waiting.pop()
        visits += 1
        if visits > MAX_DOCUMENT_BYTES:
            return [_too_large()]
        if len(place) > MAX_DEPTH:
            return [Problem(path=pointer(place[:10]), code="too_deep", message=f"nests deeper than {MAX_DEPTH} levels")]
        if fault := _fault(value):
            problems.append(Problem(path=pointer(place), code="not_plain_data", message=fault))
        elif isinstance(value, dict):
            waiting.extend(((*place, key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            waiting.extend(((*place, index), inner) for index, inner in enumerate(value))
    if not problems and len(rfc8785.dumps(document)) > MAX_DOCUMENT_BYTES:
        problems.append(_too_large())
    return problems


def secret_problems(document: Any) -> list[Problem]:
    """A document is kept as it is and read by many. It has been found to be plain."""
    message = "looks like a secret, and many may read this"
    return [Problem(path=path, code="secret", message=message) for path in secrets_in(document)]


def unseen_problems(document: Any, place: Place = ()) -> list[Problem]:
    """What decides is what its readers see."""
    message = "has a character that nobody sees"
    return [
        Problem(path=pointer((*place, *found)), code="unseen_character", message=message)
        for found in islice(unseen_in(document), MAX_PROBLEMS)
    ]


def _fault(value: Any) -> str | None:
    match value:
        case None | bool() | list():
            return None
        case int():
            return None if abs(value) <= MAX_INTEGER else "an integer beyond 2^53 - 1"
        case float():
            return None if math.isfinite(value) else "a number that is not finite"
        case str():
            return _text_fault(value)
        case dict():
            return next((fault for key in value if (fault := _key_fault(key))), None)
    return f"a {type(value).__name__} is not JSON: quote it"


def _key_fault(key: Any) -> str | None:
    return _text_fault(key) if isinstance(key, str) else "a key that is not text: quote it"


def _text_fault(text: str) -> str | None:
    return "text with half a surrogate pair" if any("\ud800" <= char <= "\udfff" for char in text) else None


def _too_large() -> Problem:
    return Problem(path="", code="too_large", message=f"the document is larger than {MAX_DOCUMENT_BYTES // 1024} KiB")
