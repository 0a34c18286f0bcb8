"""Each event says which of its fields are content."""

from typing import Any, get_args

import msgspec

from fairlead.domain.catalogue import EVENTS
from fairlead.domain.codec import tags_of
from fairlead.domain.contents import CONTENT, NESTED, NOT_CONTENT, UNTAGGED
from fairlead.domain.runs.events import Change
from fairlead.domain.sealing import TEXTS

CLASSES: dict[str, Any] = {tag: cls for events in EVENTS.values() for tag, cls in tags_of(events).items()}
FIELDS = {(tag, field.name): field.type for tag, cls in CLASSES.items() for field in msgspec.structs.fields(cls)} | {
    ("Change", field.name): field.type for field in msgspec.structs.fields(Change)
}


def said(table: Any) -> set[tuple[str, str]]:
    return {(tag, name) for tag, names in table.items() for name in names}


def is_json(hint: Any) -> bool:
    """Whether anything can be in it."""
    return hint is Any or hint is dict or any(is_json(each) for each in get_args(hint)) or "dict" in str(hint)


def test_every_field_that_can_hold_anything_is_said_to_be_content_or_not() -> None:
    unsaid = [
        place
        for place, hint in FIELDS.items()
        if is_json(hint) and place not in said(CONTENT) | said(NOT_CONTENT) | said(NESTED)
    ]
    assert unsaid == [], "say in domain/contents.py whether these are content"


def test_what_is_said_is_said_of_fields_that_are_there_and_once() -> None:
    assert said(CONTENT) | said(NOT_CONTENT) | said(NESTED) <= FIELDS.keys()
    assert not said(CONTENT) & said(NOT_CONTENT)
    assert UNTAGGED.keys() <= said(NESTED)


def test_a_box_that_is_not_opened_stands_as_text_exactly_where_a_field_is_text() -> None:
    assert {place for place in said(CONTENT) if FIELDS[place] is str} == TEXTS
    assert {str(FIELDS[place]) for place in said(CONTENT) - TEXTS} <= {"typing.Any", "dict[str, typing.Any]"}
