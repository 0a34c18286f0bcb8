"""One recorded example of each event tag ever released. `python -m tests.support.golden` writes those that are missing.

A file is never overwritten: it says what was once stored, and must be readable for ever.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from fairlead.domain.codec import tags_of

GOLDEN = Path(__file__).parent.parent / "golden"
_MOMENT = datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=UTC)
_encode = msgspec.json.Encoder(order="deterministic").encode


def text_of(event: Any) -> str:
    return msgspec.json.format(_encode(event), indent=2).decode() + "\n"


def file_of(tag: str) -> Path:
    return GOLDEN / f"{tag}.json"


def missing(catalogue: Any) -> Iterator[tuple[Path, str]]:
    """Path and content of the golden files that are not there yet."""
    for events in catalogue.values():
        for tag, event in tags_of(events).items():
            if not file_of(tag).exists():
                yield file_of(tag), text_of(msgspec.convert(example(inspect.type_info(event)), event))


def example(of: inspect.Type) -> Any:
    """A value of the type as plain JSON, with every field filled and no two alike where that is free."""
    match of:
        case inspect.StructType():
            return _struct(of)
        case inspect.UnionType():
            return example(next(each for each in of.types if not isinstance(each, inspect.NoneType)))
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return [example(of.item_type)] * (of.min_length or 1)
        case inspect.TupleType():
            return [example(each) for each in of.item_types]
        case inspect.DictType():
            return {example(of.key_type): example(of.value_type)}
        case inspect.EnumType():
            return next(iter(of.cls)).value
        case inspect.LiteralType():
            return of.values[0]
        case _:
            return _scalar(of)


def _struct(of: inspect.StructType) -> dict[str, Any]:
    fields = {field.encode_name: _named(field.encode_name, field.type) for field in of.fields}
    return {of.tag_field: of.tag, **fields} if of.tag_field is not None else fields


def _named(name: str, of: inspect.Type) -> Any:
    plain = isinstance(of, inspect.StrType) and of.pattern is None and of.max_length is None
    return f"{name} of an example" if plain else example(of)


def _scalar(of: inspect.Type) -> Any:
    match of:
        case inspect.StrType():
            return "example"[: of.max_length]
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return of.ge if of.ge is not None else 7
        case inspect.FloatType():
            return 1.5
        case inspect.DateTimeType():
            return _MOMENT.isoformat().replace("+00:00", "Z")
        case inspect.BytesType():
            return "ZXhhbXBsZQ=="
        case inspect.AnyType() | inspect.RawType():
            return {"a": 1, "b": [True, None, "c"]}
    raise TypeError(f"golden files know no example of {of}")


def main() -> None:
    from fairlead.domain.catalogue import EVENTS

    for path, text in missing(EVENTS):
        path.write_text(text)
        sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
