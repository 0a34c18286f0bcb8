"""Which places in the content of an approval are sensitive: what its request says, and what repeats it."""

import re
from collections.abc import Sequence
from typing import Any

from fairlead.domain.approvals.events import ApprovalEvent, ApprovalRequested
from fairlead.domain.approvals.states import ApprovalState, NotRequested
from fairlead.domain.masking import WHOLE, places_alike, texts_at
from fairlead.domain.sealing import Marks

# People repeat a part of what they saw: a long word, or a shorter one with a digit in it.
_TELLING = re.compile(r"[\w-]{8,}|[^\W\d]*\d[\w-]{3,}")


def marks(state: ApprovalState, facts: Sequence[ApprovalEvent], _: Any) -> Marks | None:
    """None where nothing is sensitive."""
    if isinstance(state, NotRequested):
        asked = next((fact for fact in facts if isinstance(fact, ApprovalRequested)), None)
    else:
        asked = state.asked
    return _Marking(asked) if asked is not None and asked.sensitive else None


class _Marking:
    def __init__(self, asked: ApprovalRequested) -> None:
        self._of = {name: _below(asked.sensitive, name) for name in ("arguments", "evidence")}
        texts = frozenset(texts_at(asked.arguments, self._of["arguments"]))
        self._known = texts | {word for text in texts for word in _TELLING.findall(text)}

    def __call__(self, event: Any, tag: str, name: str, value: Any) -> tuple[str, ...]:  # noqa: ARG002  # all alike
        places = {*self._of.get(name, ()), *places_alike(value, frozenset(), self._known)}
        return WHOLE if "" in places else tuple(sorted(places))


def _below(pointers: Sequence[str], name: str) -> tuple[str, ...]:
    top = f"/{name}"
    return tuple(each.removeprefix(top) for each in pointers if each == top or each.startswith(f"{top}/"))
