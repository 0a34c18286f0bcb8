"""Search a source, and check that quotations stand where they are said to stand."""

import asyncio
from typing import Annotated

from fairlead_sdk import Call, Effect, Idempotency, tool
from msgspec import Meta, Struct

from fairlead_library.shelves import document, documents

SourceName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
DocumentId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}/[a-z0-9][a-z0-9-]{0,79}$")]
EXCERPT_CHARS = 1_500


class Search(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    source: SourceName
    query: Annotated[
        str, Meta(min_length=1, max_length=200, description="Words; documents with most of them come first.")
    ]
    limit: Annotated[int, Meta(ge=1, le=10)] = 3


class Passage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    title: str
    text: str


class Passages(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    passages: list[Passage]


class Citation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: DocumentId
    quote: Annotated[str, Meta(min_length=10, max_length=500, description="Word for word.")]


class Citations(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    citations: Annotated[list[Citation], Meta(min_length=1, max_length=20)]


class Checked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`stands` are the places in the list of quotations that are there, `missing` the others."""

    stands: list[int]
    missing: list[int]


@tool("library.search_source", title="Search a source", effect=Effect.READ, idempotency=Idempotency.NATURAL)
async def search_source(arguments: Search, call: Call) -> Passages:
    """Documents of one source that hold words of the query. Several sources can be searched at once."""
    words = _words(arguments.query)
    found = await asyncio.to_thread(documents, call, arguments.source)
    ranked = sorted(found, key=lambda each: -len(words & _words(f"{each.title} {each.body}")))
    fitting = [each for each in ranked if words & _words(f"{each.title} {each.body}")][: arguments.limit]
    return Passages(
        passages=[Passage(id=each.id, title=each.title, text=each.body[:EXCERPT_CHARS]) for each in fitting]
    )


@tool("library.check_citations", title="Check citations", effect=Effect.READ, idempotency=Idempotency.NATURAL)
async def check_citations(arguments: Citations, call: Call) -> Checked:
    """Whether each quotation stands word for word in the document that it names."""
    stands: list[int] = []
    missing: list[int] = []
    for at, citation in enumerate(arguments.citations):
        found = await asyncio.to_thread(document, call, citation.id)
        there = found is not None and _plain(citation.quote) in _plain(found.body)
        (stands if there else missing).append(at)
    return Checked(stands=stands, missing=missing)


def _words(text: str) -> set[str]:
    return {word for word in _plain("".join(each if each.isalnum() else " " for each in text)).split() if len(word) > 2}


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


TOOLS = (search_source, check_citations)
