"""Looks through a text or a JSON value, and does what is configured about what it finds."""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from fairlead.domain.guardrails.findings import (
    ACTION_OF,
    MAX_FINDINGS,
    Action,
    Detector,
    Finding,
    Guards,
    Span,
    Wish,
)
from fairlead.domain.guardrails.injection import Injection
from fairlead.domain.guardrails.personal import PersonalData
from fairlead.domain.guardrails.secrets import Secrets

SIZE_VERSION = 1
SCHEMA_VERSION = 1
MAX_DEPTH = 64
_SECRETS, _PERSONAL, _INJECTION = Secrets(), PersonalData(), Injection()


class Inspected(Struct, frozen=True, kw_only=True):
    """`value` is what may be used of what was looked at. `blocked`: nothing of it may. `marked`: it may, with a word of
    warning."""

    value: Any
    findings: tuple[Finding, ...] = ()

    @property
    def blocked(self) -> bool:
        return any(finding.action == "blocked" for finding in self.findings)

    @property
    def marked(self) -> bool:
        return any(finding.action == "marked" for finding in self.findings)


class Inspector:
    """Built once for its guards, and shared."""

    def __init__(self, guards: Guards) -> None:
        self._max_chars = guards.max_chars
        self._size: Wish = guards.size
        wanted: tuple[tuple[Detector, Wish], ...] = (
            (_SECRETS, guards.secrets),
            (_PERSONAL, guards.personal_data),
            (_INJECTION, guards.injection),
        )
        self._wanted = tuple((detector, ACTION_OF[wish]) for detector, wish in wanted if wish != "off")

    def inspect(self, value: Any, where: str = "") -> Inspected:
        """Texts anywhere in a JSON value, names of fields too. `where` is the pointer to the value itself."""
        found: list[Finding] = []
        clean = self._value(value, where, found.append, 0)
        return Inspected(value=clean, findings=_first(found))

    def _value(self, value: Any, where: str, found: Callable[[Finding], None], depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, where, found)
        if isinstance(value, dict | list | tuple) and depth == MAX_DEPTH:
            found(Finding(detector="size.depth", version=SIZE_VERSION, where=where, action="blocked"))
            return "[blocked:depth]"
        if isinstance(value, dict):
            return {
                self._text(str(name), f"{where}/{_step(str(name))}", found): self._value(
                    each, f"{where}/{_step(str(name))}", found, depth + 1
                )
                for name, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._value(each, f"{where}/{at}", found, depth + 1) for at, each in enumerate(value)]
        return value

    def _text(self, text: str, where: str, found: Callable[[Finding], None]) -> str:
        if len(text) > self._max_chars and self._size != "off":
            action = ACTION_OF[self._size]
            found(Finding(detector="size.chars", version=SIZE_VERSION, where=where, action=action))
            if action == "blocked":
                return "[blocked:size]"
            text = text[: self._max_chars] if action == "redacted" else text
        for detector, action in self._wanted:
            spans = list(detector.find(text))
            for kind in dict.fromkeys(span.kind for span in spans):
                name = f"{detector.name}.{kind}"
                found(Finding(detector=name, version=detector.version, where=where, action=action))
            if spans:
                text = _handled(text, detector.name, action, spans)
        return text


def _handled(text: str, name: str, action: Action, spans: list[Span]) -> str:
    match action:
        case "blocked":
            return f"[blocked:{name}]"
        case "redacted":
            return "".join(_without(text, spans))
    return text


def _without(text: str, spans: list[Span]) -> Iterator[str]:
    at = 0
    for span in sorted(spans, key=lambda each: (each.start, -each.end)):
        if span.start < at:
            at = max(at, span.end)
            continue
        yield text[at : span.start]
        yield f"[redacted:{span.kind}]"
        at = span.end
    yield text[at:]


def _first(found: list[Finding]) -> tuple[Finding, ...]:
    """The first of each, and whatever blocks: a reader is told of that in any case."""
    distinct = list(dict.fromkeys(found))
    kept = distinct[:MAX_FINDINGS]
    return tuple(kept + [each for each in distinct[MAX_FINDINGS:] if each.action == "blocked"][:1])


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")[:200]
