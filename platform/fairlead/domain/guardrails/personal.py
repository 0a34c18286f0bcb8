"""Personal data that can be told from other numbers, because its check digits fit.

A number that fits by chance once in eleven is taken for one only where a word nearby says what it is.
"""

from collections.abc import Callable, Iterator
from typing import Any

import re2
from msgspec import Struct

from fairlead.domain.guardrails import check_digits as digits
from fairlead.domain.guardrails.findings import Span

_NEAR = 60  # characters before a number in which a word may say what it is
_IBAN = re2.compile(r"\b[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_RUN = re2.compile(r"[0-9](?:[ .-]?[0-9]){12,24}")


class Form(Struct, frozen=True):
    """`words`: one of them stands before it. None are needed where form and check together are proof enough."""

    kind: str
    pattern: Any  # a compiled RE2; the library ships no types
    fits: Callable[[str], bool]
    words: tuple[str, ...] = ()


def _form(kind: str, pattern: str, fits: Callable[[str], bool], words: str = "") -> Form:
    return Form(kind, re2.compile(pattern), fits, tuple(words.split()))


FORMS = (
    _form("br_cpf", r"\b[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}\b", digits.brazilian),
    _form("br_cpf", r"\b[0-9]{11}\b", digits.brazilian, "cpf"),
    _form("be_nrn", r"\b[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}\b", digits.belgian),
    _form("be_nrn", r"\b[0-9]{11}\b", digits.belgian, "rijksregister registre insz niss"),
    _form("fr_nir", r"\b[12] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b", digits.french),
    _form("es_dni", r"\b(?:[0-9]{8}|[XYZ][0-9]{7})-?[A-HJ-NP-TV-Z]\b", digits.spanish),
    _form("it_cf", r"(?i)\b[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]\b", digits.italian),
    _form("se_pnr", r"\b[0-9]{6}[-+][0-9]{4}\b", digits.swedish),
    _form("fi_hetu", r"\b[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y]\b", digits.finnish),
    _form("de_tax_id", r"\b[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}\b", digits.german_tax_id, "steuer idnr tax tin"),
    _form("nl_bsn", r"\b[0-9]{3}[ .]?[0-9]{3}[ .]?[0-9]{3}\b", digits.dutch_bsn, "bsn burgerservice sofi"),
    _form("nl_bsn", r"\b[0-9]{4}\.[0-9]{2}\.[0-9]{3}\b", digits.dutch_bsn, "bsn burgerservice sofi"),
    _form("pl_pesel", r"\b[0-9]{11}\b", digits.polish, "pesel"),
    _form("gb_nhs", r"\b[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}\b", digits.british_nhs, "nhs"),
)  # fmt: skip


class PersonalData:
    name = "personal_data"
    version = 1

    def find(self, text: str) -> Iterator[Span]:
        if not any(each.isdigit() for each in text):
            return
        yield from _ibans(text)
        yield from _cards(text)
        lowered = text.lower()
        for form in FORMS:
            if not form.words or any(word in lowered for word in form.words):
                yield from _of(form, text, lowered)


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        length = digits.iban_length(_joined(match.group()).upper())
        if length is not None:
            yield Span(match.start(), match.start() + _reach(match.group(), length), "iban")


def _cards(text: str) -> Iterator[Span]:
    """Runs of digits that stand alone: a longer number does not hold a card."""
    for match in _RUN.finditer(text):
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if not (before.isalnum() or after.isalnum()) and digits.card(_joined(match.group())):
            yield Span(match.start(), match.end(), "card")


def _of(form: Form, text: str, lowered: str) -> Iterator[Span]:
    for match in form.pattern.finditer(text):
        near = lowered[max(0, match.start() - _NEAR) : match.start()]
        told = not form.words or any(word in near for word in form.words)
        compact = match.group() if form.kind == "fi_hetu" else _joined(match.group()).upper()
        if told and form.fits(compact):
            yield Span(match.start(), match.end(), form.kind)


def _joined(text: str) -> str:
    return "".join(each for each in text if each.isalnum())


def _reach(text: str, length: int) -> int:
    """How far `length` letters and digits go."""
    seen = 0
    for at, each in enumerate(text):
        seen += each.isalnum()
        if seen == length:
            return at + 1
    return len(text)
