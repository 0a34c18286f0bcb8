"""Expressions of documents in CEL.

The engine answers an error with a value that is truthy and a missing variable with one of type UNKNOWN, and its
messages may quote data. Here only a boolean counts as a condition, everything else raises, and no message quotes data.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from fairlead.adapters.cel_growth import Growth
from fairlead.adapters.cel_paths import NOT_PLAIN, at, path_of
from fairlead.adapters.cel_reach import pick, reach_of
from fairlead.adapters.cel_values import Reading, check, extent_of
from fairlead.domain.expressions import ExpressionFailed, ExpressionInvalid

MAX_SOURCE_BYTES = 4096
MAX_FAULTS = 5
COMPILED_KEPT = 4096
ENVIRONMENTS_KEPT = 64

_FAULT = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_KEY = re.compile(r'Key not found in map : "(.*)"')
_UNBOUND = re.compile(r'No value with name "(\w+)" found in Activation')
_HARMLESS = re.compile(  # what the engine says without quoting a value
    r"divide by zero|modulus by zero|(?:\w+ )*overflow|Iteration budget exceeded|cannot convert \w+ to \w+"
    r"|String to \w+ conversion failed|Index error: index=-?\d+ size=\d+"
    r"|No matching overloads found : [\w@!<>=+\-*/%&|?:,() \[\]]+"
)
_REFUSALS = (RuntimeError, ValueError, TypeError)  # what the binding raises for the engine's own exceptions


class CelExpressions:
    """The Expressions of production and of tests. Compiled sources are kept, so compiling again costs a look-up."""

    def __init__(self) -> None:
        self._environment = lru_cache(ENVIRONMENTS_KEPT)(_environment)
        self._compiled = lru_cache(COMPILED_KEPT)(self._build)

    def compile(self, source: str, variables: Iterable[str]) -> "CelExpression":
        return self._compiled(source, tuple(sorted(set(variables))))

    def _build(self, source: str, variables: tuple[str, ...]) -> "CelExpression":
        size = len(source.encode("utf-8", "surrogatepass"))
        if size > MAX_SOURCE_BYTES:
            raise ExpressionInvalid(f"an expression has at most {MAX_SOURCE_BYTES} bytes, this one has {size}")
        try:
            program = self._environment(variables).compile(source)
        except _REFUSALS as refusal:
            raise ExpressionInvalid(_faults(str(refusal), variables)) from None
        return CelExpression(program, source, variables)


class CelExpression:
    """One compiled source."""

    def __init__(self, program: Any, source: str, variables: tuple[str, ...]) -> None:
        self._program = program
        self._source = source
        self._path = path_of(source, variables)
        self._reach = reach_of(source, variables)
        self._growth = Growth(source)

    def value(self, variables: Mapping[str, Any]) -> Any:
        if self._path is not None and (found := at(self._path, variables)) is not NOT_PLAIN:
            return found
        result = self._evaluate(variables)
        plain = result.value()
        if type(plain) is str and result.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):
            raise ExpressionFailed(_said(plain, self._source))
        return Reading().plain(plain)

    def holds(self, variables: Mapping[str, Any]) -> bool:
        result = self._evaluate(variables)
        answer = result.value()
        if answer is True or answer is False:
            return bool(answer)
        kind = result.type()
        if kind in (cel.Type.ERROR, cel.Type.UNKNOWN):
            raise ExpressionFailed(_said(str(answer), self._source))
        raise ExpressionFailed(f"a condition is true or false, this one gave {kind.name().lower()}")

    def _evaluate(self, variables: Mapping[str, Any]) -> Any:
        within_reach = pick(self._reach, variables)
        check(within_reach)
        if self._growth.unbounded:
            self._growth.check(extent_of(within_reach))
        try:
            return self._program.eval(data=within_reach)
        except _REFUSALS as refusal:
            raise ExpressionFailed(_said(str(refusal), self._source)) from None


def _environment(variables: tuple[str, ...]) -> Any:
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN))


def _faults(report: str, variables: tuple[str, ...]) -> str:
    """`line 1, column 5: …` for each fault; the engine counts columns from 1."""
    found = [_fault(line, column, what) for line, column, what in _FAULT.findall(report)[:MAX_FAULTS]]
    hint = f"; known names: {', '.join(variables)}" if "undeclared reference" in report else ""
    return ("; ".join(found) or report.partition("\n")[0]) + hint


def _fault(line: str, column: str, what: str) -> str:
    what = what.removesuffix(" [INVALID_ARGUMENT]").removesuffix(" (in container '')")
    return what if line == "-1" else f"line {line}, column {column}: {what}"


def _said(report: str, source: str) -> str:
    """What went wrong, without any text that is not in the source or known to be harmless."""
    code, _, message = report.partition(": ")
    message = message.removesuffix(f" [{code}]")
    if missing := _KEY.fullmatch(message):
        key = missing[1]
        return f"there is no field {key}" if key in source else "there is no such field"
    if unbound := _UNBOUND.fullmatch(message):
        return f"there is no value for {unbound[1]}"
    if message.startswith("Non-CEL value type"):
        return "a variable holds a value that is not JSON"
    if message.startswith("Integer value"):
        return "an integer does not fit into 64 bits"
    return message if _HARMLESS.fullmatch(message) else f"evaluation failed ({code.lower()})"
