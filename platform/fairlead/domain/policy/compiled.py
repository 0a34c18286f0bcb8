"""A policy ready to judge by: all layers together, each condition compiled, by tool and effect."""

import hashlib
from collections.abc import Collection, Iterator, Sequence

import msgspec
import rfc8785
from fairlead_sdk.contract import Effect
from msgspec import Struct

from fairlead.domain.expressions import Expression, ExpressionInvalid, Expressions
from fairlead.domain.policy.document import STRICTEST_LEVEL_FIRST, Autonomy, PolicyDocument, Review, Rule, Verdict
from fairlead.domain.policy.layers import Layer
from fairlead.domain.workflow.references import reads

CONDITION_VARIABLES = (
    *("args", "tool", "effect", "connector", "kinds"),
    *("run", "principal", "agent", "starter", "env", "now"),
)
"""What `when` may speak of. `run` has id, input, labels, workflow, version and calls: the number so far by tool, with
this one. `kinds` are what the tool writes. `principal` is the agent's id; `agent` and `starter` have id, kind, roles.
`now` is RFC 3339 text: compare `timestamp(now)`."""

_STRICTEST_FIRST: tuple[Verdict | None, ...] = ("deny", "require_approval", "allow", None)
_MOVING = frozenset({"now", "agent", "starter"})  # what may be otherwise when a call is judged again
_VERSION_CHARS = 16
MAX_TOGETHER_BYTES = 4_000


class BoundRule(Struct, frozen=True):
    """A rule with its condition compiled. `name` is its id, after that of its layer: `tenant:no-deletes`.

    `layer` counts from the outermost.
    """

    name: str
    layer: int
    rule: Rule
    condition: Expression | None
    per: Expression | None = None


class Together(Struct, frozen=True):
    """The conditions of several rules as one expression, which gives a list: converting what they read is the dear
    part of asking them, and what they give is the next. So it is asked first whether `any` of them holds, where each
    is a condition that mostly does not: of those that restrict."""

    names: tuple[str, ...]
    conditions: Expression
    any: Expression | None
    none: dict[str, bool]


class Policy(Struct, frozen=True, kw_only=True):
    """Rules that can apply, strictest first, for each allowed tool and effect."""

    version: str
    forbidden: frozenset[str]
    writes: frozenset[str]
    rules: dict[tuple[str, Effect], tuple[BoundRule, ...]]
    together: dict[tuple[str, Effect], tuple[Together, ...]]
    moving: frozenset[tuple[str, Effect]]
    reading_runs: frozenset[tuple[str, Effect]] = frozenset()
    review: Review | None = None
    awaited: tuple[BoundRule, ...] = ()
    autonomy: Autonomy = "act_within_policy"

    def depends_on_moment(self, tool: str, effect: Effect) -> bool:
        """Whether a rule that can apply reads the time, roles or what has happened. Else a call that is judged again
        is judged alike."""
        return (tool, effect) in self.moving


def compile_policy(
    document: PolicyDocument,
    allowed: Collection[str],
    forbidden: Collection[str],
    writes: Collection[str],
    expressions: Expressions,
    layers: Sequence[Layer] = (),
    autonomy: Autonomy = "act_within_policy",
) -> Policy:
    """`allowed`, `forbidden` and `writes` are the workflow's lists. Raises ExpressionInvalid."""
    bound = list(_bound(document, layers, expressions))
    bound.sort(key=lambda each: _STRICTEST_FIRST.index(each.rule.verdict))  # stable: outermost first within a verdict
    rules = {
        (tool, effect): tuple(each for each in bound if _speaks_of(each.rule, tool, effect))
        for tool in allowed
        for effect in Effect
    }
    return Policy(
        version=_version(document, allowed, forbidden, writes, layers, autonomy),
        forbidden=frozenset(forbidden),
        writes=frozenset(writes),
        rules=rules,
        together={key: tuple(_all_together(those, expressions)) for key, those in rules.items()},
        moving=frozenset(key for key, those in rules.items() if any(_moves(each.rule) for each in those)),
        reading_runs=frozenset(key for key, those in rules.items() if any(_reads_run(each.rule) for each in those)),
        review=_review(layers),
        awaited=tuple(each for each in bound if each.rule.after is not None and each.rule.after.within != "run"),
        autonomy=autonomy,
    )


def _all_together(rules: Sequence[BoundRule], expressions: Expressions) -> Iterator[Together]:
    restricting = [bound for bound in rules if bound.rule.verdict != "allow"]
    yield from _together(restricting, expressions, restrict=True)
    yield from _together([bound for bound in rules if bound.rule.verdict == "allow"], expressions, restrict=False)


def _together(rules: Sequence[BoundRule], expressions: Expressions, *, restrict: bool) -> Iterator[Together]:
    """As many as one expression can hold. A line break ends a comment that a condition may end with."""
    names: list[str] = []
    parts: list[str] = []
    for bound in rules:
        if bound.rule.when is None:
            continue
        part = f"({bound.rule.when}\n)"
        if parts and _size(parts) + len(part.encode()) > MAX_TOGETHER_BYTES:
            yield from _bound_together(names, parts, expressions, restrict=restrict)
            names, parts = [], []
        names.append(bound.name)
        parts.append(part)
    yield from _bound_together(names, parts, expressions, restrict=restrict)


def _bound_together(
    names: list[str], parts: list[str], expressions: Expressions, *, restrict: bool
) -> Iterator[Together]:
    """One alone is asked as it is, and so are those that only fit alone."""
    if len(parts) > 1 and _size(parts) <= MAX_TOGETHER_BYTES:
        conditions = expressions.compile(f"[{','.join(parts)}]", CONDITION_VARIABLES)
        found = _any_of(parts, expressions) if restrict else None
        yield Together(tuple(names), conditions, found, dict.fromkeys(names, False))


def _any_of(parts: list[str], expressions: Expressions) -> Expression | None:
    """None where one of them is known to be no condition: it denies when it is asked by itself."""
    try:
        return expressions.compile("||".join(parts), CONDITION_VARIABLES)
    except ExpressionInvalid:
        return None


def _size(parts: list[str]) -> int:
    return sum(len(part.encode()) + 2 for part in parts) + 2


def level_of(stated: Autonomy | None, layers: Sequence[Layer], unstated: Autonomy) -> Autonomy:
    """The strictest that the workflow or any layer states; `unstated` where none does."""
    found = {stated, *(layer.document.autonomy for layer in layers)}
    return next((level for level in STRICTEST_LEVEL_FIRST if level in found), unstated)


def _bound(document: PolicyDocument, layers: Sequence[Layer], expressions: Expressions) -> Iterator[BoundRule]:
    for place, layer in enumerate(layers):
        for rule in layer.document.rules:
            yield BoundRule(
                f"{layer.kind}:{rule.id}", place, rule, _condition(rule, expressions), _per(rule, expressions)
            )
    for rule in document.rules:
        yield _bind(rule.id, len(layers), rule, expressions)


def _bind(name: str, layer: int, rule: Rule, expressions: Expressions) -> BoundRule:
    return BoundRule(name, layer, rule, _condition(rule, expressions), _per(rule, expressions))


def _condition(rule: Rule, expressions: Expressions) -> Expression | None:
    return None if rule.when is None else expressions.compile(rule.when, CONDITION_VARIABLES)


def _per(rule: Rule, expressions: Expressions) -> Expression | None:
    per = rule.at_most.per if rule.at_most is not None else None
    return None if per is None else expressions.compile(per, CONDITION_VARIABLES)


def _review(layers: Sequence[Layer]) -> Review | None:
    """Of the layer that asks for people soonest."""
    stated = [layer.document.review for layer in layers if layer.document.review is not None]
    return min(stated, key=lambda review: review.at, default=None)


def _moves(rule: Rule) -> bool:
    if rule.after is not None or rule.at_most is not None:
        return True
    return rule.when is not None and not _MOVING.isdisjoint(reads(rule.when).names)


def _reads_run(rule: Rule) -> bool:
    return rule.when is not None and "run" in reads(rule.when).names


def _speaks_of(rule: Rule, tool: str, effect: Effect) -> bool:
    """As far as that can be told before there is a call."""
    return (
        (not rule.tools or tool in rule.tools)
        and (not rule.effects or effect in rule.effects)
        and (not rule.connectors or tool.partition(".")[0] in rule.connectors)
    )


def _version(
    document: PolicyDocument,
    allowed: Collection[str],
    forbidden: Collection[str],
    writes: Collection[str],
    layers: Sequence[Layer],
    autonomy: Autonomy,
) -> str:
    """Changes whenever any decision could. The order of rules counts, the order of the lists does not."""
    decides = {
        "policy": msgspec.to_builtins(document),
        "allowed": sorted(allowed),
        "forbidden": sorted(forbidden),
        "writes": sorted(writes),
        "layers": [[layer.kind, layer.document_hash] for layer in layers],
        "autonomy": autonomy,
    }
    return hashlib.sha256(rfc8785.dumps(decides)).hexdigest()[:_VERSION_CHARS]
