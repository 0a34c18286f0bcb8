"""Expressions in documents are CEL, behind these Protocols; `adapters/cel.py` implements them.

In a document a string that is exactly `${ expression }` is evaluated; every other value stands for itself.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from fairlead.domain.errors import FairleadError


class ExpressionInvalid(FairleadError):
    """The text is not an expression over the named variables."""

    code = "expression_invalid"


class ExpressionFailed(FairleadError):
    """Evaluation ended in an error, an unknown, or a value of the wrong kind. Never treated as false.

    The message quotes no value.
    """

    code = "expression_failed"


class Expression(Protocol):
    def value(self, variables: Mapping[str, Any]) -> Any:
        """Plain JSON value (dict, list, str, int, float, bool, None). Raises ExpressionFailed."""

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Raises ExpressionFailed unless the result is a boolean."""


class Expressions(Protocol):
    def compile(self, source: str, variables: Iterable[str]) -> Expression:
        """Variables are dynamically typed, top-level names. Raises ExpressionInvalid: what is wrong and where."""
