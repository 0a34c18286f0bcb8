"""Pages that are made from the code say what the code says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead import access_reference, events_reference
from fairlead.domain.catalogue import EVENTS
from fairlead.domain.codec import tags_of

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference"
TAGS = {tag: event for events in EVENTS.values() for tag, event in tags_of(events).items()}


@pytest.mark.parametrize(
    ("name", "page"), [("events.md", events_reference.page), ("permissions.md", access_reference.page)]
)
def test_a_generated_page_is_fresh(name: str, page: Callable[[], str]) -> None:
    assert (PAGES / name).read_text() == page(), "run make reference"


@pytest.mark.parametrize("tag", TAGS)
def test_every_event_says_what_it_means(tag: str) -> None:
    assert (TAGS[tag].__doc__ or "").strip().endswith("."), f"{TAGS[tag].__name__} needs a docstring"
