"""What an obligation makes of an output: rows that are too many and fields that nobody may see are taken out."""

from typing import Any

from fairlead.domain.policy.document import Obligations

REDACTED = "[redacted:policy]"
ANY = "*"


def fulfilled(obligations: Obligations, output: Any) -> Any:
    """The output as it may be recorded. The argument is left as it is."""
    if obligations.dry_run:
        return output  # it shows what would have been and has no rows
    if obligations.limit_rows is not None:
        output = _limited(output, obligations.limit_rows)
    for path in obligations.redact:
        output = _without(output, path.split("."))
    return output


def _limited(value: Any, rows: int) -> Any:
    """Lists at any depth: rows may stand anywhere in an output."""
    match value:
        case list():
            return [_limited(each, rows) for each in value[:rows]]
        case dict():
            return {name: _limited(each, rows) for name, each in value.items()}
    return value


def _without(value: Any, path: list[str]) -> Any:
    """A step into a list without `*` means each of its elements, so that no list hides a field."""
    if not path:
        return REDACTED
    match value:
        case list():
            return [_without(each, path[1:] if path[0] == ANY else path) for each in value]
        case dict() if path[0] == ANY:
            return {name: _without(each, path[1:]) for name, each in value.items()}
        case dict() if path[0] in value:
            return value | {path[0]: _without(value[path[0]], path[1:])}
    return value
