"""Notes in a service that speaks JSON over HTTP. Put your own service here."""

from typing import Annotated, Any

import msgspec
from fairlead_sdk import Access, Auth, AuthKind, Call, Effect, Idempotency, Manifest, Scope, hookimpl, tool
from fairlead_sdk.answers import json_of, succeeded
from fairlead_sdk.hookspecs import Register
from fairlead_sdk.outbound import HttpAnswer
from msgspec import Meta, Struct

NOTES = "https://api.example.com/notes"


class NewNote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=2_000)]


class NoteId(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    note_id: Annotated[str, Meta(pattern="^[A-Za-z0-9-]{1,64}$")]


class Note(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    note_id: str
    text: str


@tool(
    "sample.get_note", title="Get a note", effect=Effect.READ, idempotency=Idempotency.NATURAL, scopes=("notes.read",)
)
async def get_note(arguments: NoteId, call: Call) -> Note:
    """Read one note."""
    answer = await call.http.send("GET", f"{NOTES}/{arguments.note_id}")
    return _note(answer, Effect.READ)


async def find_created(arguments: NewNote, call: Call) -> Note | None:  # noqa: ARG001  # found by the call's key alone
    """Whether this very call has made a note."""
    answer = await call.http.send("GET", f"{NOTES}?key={call.idempotency_key}")
    found = json_of(succeeded(answer, Effect.READ), Effect.READ)
    return msgspec.convert(found[0], Note) if found else None


async def show_note(arguments: NewNote, call: Call) -> dict[str, Any]:  # noqa: ARG001  # nothing is asked
    """What a person sees before signing."""
    return {"before": None, "after": {"text": arguments.text}}


async def delete_created(arguments: NewNote, output: Note, call: Call) -> None:  # noqa: ARG001  # its output names it
    """Take the note back; it may be gone already."""
    answer = await call.http.send("DELETE", f"{NOTES}/{output.note_id}")
    if answer.status != 404:
        succeeded(answer, Effect.WRITE)


@tool(
    "sample.create_note",
    title="Create a note",
    effect=Effect.WRITE,
    idempotency=Idempotency.KEY,
    scopes=("notes.write",),
    writes=("note",),
    verify=find_created,
    preview=show_note,
    compensate=delete_created,
)
async def create_note(arguments: NewNote, call: Call) -> Note:
    """Write a note. Asked again under the same key, the service gives the same note."""
    headers = {"content-type": "application/json", "idempotency-key": call.idempotency_key}
    answer = await call.http.send("POST", NOTES, headers=headers, body=msgspec.json.encode(arguments))
    return _note(answer, Effect.WRITE)


def _note(answer: HttpAnswer, effect: Effect) -> Note:
    return msgspec.convert(json_of(succeeded(answer, effect), effect), Note)


class SampleConnector:
    manifest = Manifest(
        name="sample",
        title="Sample",
        version="0.1.0",
        tools=(get_note, create_note),
        auth=Auth(kind=AuthKind.API_KEY),
        scopes=(
            Scope(name="notes.read", access=Access.READ, title="Read notes"),
            Scope(name="notes.write", access=Access.WRITE, title="Write notes"),
        ),
        egress=("api.example.com",),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(SampleConnector())
