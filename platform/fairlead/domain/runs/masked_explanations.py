"""Why a call was judged as it was, for those who may not see what is sensitive in it."""

from typing import Any

from msgspec.structs import replace

from fairlead.domain.masking import MASK, WHOLE, hidden, places_alike
from fairlead.domain.policy.explaining import Explanation, RuleExplained
from fairlead.domain.runs.marking import Sensitive, known_texts
from fairlead.domain.runs.states import Active


def behind_masks(explained: Explanation, sensitive: Sensitive, run: Active) -> Explanation:
    """Of a call of the run as it was then."""
    if not sensitive.is_there:
        return explained
    known = known_texts(sensitive, run)
    rules = [_masked(rule, sensitive.names, known) for rule in explained.rules]
    reason = _hidden(explained.reason, frozenset(), known)
    return replace(explained, rules=rules, reason=reason)


def _masked(rule: RuleExplained, names: frozenset[str], known: frozenset[str] | None) -> RuleExplained:
    values = {
        path: MASK if not names.isdisjoint(path.replace("[", ".").split(".")) else _hidden(value, names, known)
        for path, value in rule.values.items()
    }
    return replace(
        rule, values=values, reason=_hidden(rule.reason, names, known), fault=_hidden(rule.fault, names, known)
    )


def _hidden(value: Any, names: frozenset[str], known: frozenset[str] | None) -> Any:
    return hidden(value, WHOLE if known is None else places_alike(value, names, known))
