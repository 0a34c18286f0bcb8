"""How much an expression could multiply what it is given.

CEL ends every evaluation within 10,000 iterations, but not within any memory: `['x'].map(s, s + s).map(s, s + s)…`
doubles its text with each turn, and building a list costs the square of its length. So an upper bound is taken from the
source before evaluation. It only counts signs and words, also inside literals: that can make the bound too strict,
never too lax.
"""

import re

from fairlead.adapters.cel_values import Extent
from fairlead.domain.expressions import ExpressionFailed

MAX_ITERATIONS = 10_000  # the engine's own limit for one evaluation
MAX_ELEMENTS = 5_000  # in a list that a macro walks or builds: about 0.5 s
MAX_GROWN_CHARS = 256 * 1024 * 1024

_MACRO = re.compile(r"\b(?:all|exists|exists_one|existsOne|filter|map)\b")


class Growth:
    """The bound for one source."""

    def __init__(self, source: str) -> None:
        self._literal = Extent(longest_text=len(source), widest=source.count(",") + 1)
        self._macros = len(_MACRO.findall(source))
        pluses = source.count("+")
        turns = max(self._macros, 1)
        self._factor = (1 + pluses / turns) ** turns  # largest when every turn adds equally
        self._adds = pluses > 0

    @property
    def unbounded(self) -> bool:
        """False for most conditions: they compare and build nothing."""
        return self._adds or self._macros > 0

    def check(self, extent: Extent) -> None:
        """Raises ExpressionFailed when values of this extent could grow beyond the limits."""
        widest = max(extent.widest, self._literal.widest)
        if self._macros and widest * self._factor > MAX_ELEMENTS:
            raise ExpressionFailed(f"macros could walk more than {MAX_ELEMENTS} elements")
        longest = max(extent.longest_text, self._literal.longest_text)
        if self._adds and self._passes(widest) * self._factor * longest > MAX_GROWN_CHARS:
            raise ExpressionFailed("the text it builds could grow beyond its limit")

    def _passes(self, widest: int) -> int:
        return min(MAX_ITERATIONS, widest ** min(self._macros, 4)) if self._macros else 1
