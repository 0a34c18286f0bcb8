"""Secrets, known by their form as everywhere else (domain/redaction.py)."""

from collections.abc import Iterator

from fairlead.domain.guardrails.findings import Span
from fairlead.domain.redaction import FORMS


class Secrets:
    name = "secrets"
    version = 1

    def find(self, text: str) -> Iterator[Span]:
        lowered = text.lower()
        for form in FORMS:
            if any(sign in lowered for sign in form.signs):
                for match in form.pattern.finditer(text):
                    yield Span(match.start(), match.end(), form.kind)
