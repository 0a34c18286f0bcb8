"""The connector against its service as it should behave, in memory."""

from typing import Any

import msgspec
from fairlead_sdk.conformance import ConnectorSuite
from fairlead_sdk.outbound import HttpAnswer
from fairlead_sdk.testing import Counterpart, Example, Request
from sample_connector import SampleConnector

JSON = {"content-type": "application/json"}
NOTE = Example(tool="sample.create_note", arguments={"text": "Call the plumber"})


class NotesService(Counterpart):
    def __init__(self) -> None:
        self.notes: dict[str, str] = {}
        self.made: dict[str, str] = {}  # note by idempotency key

    async def state(self) -> Any:
        return self.notes

    async def answer(self, request: Request) -> HttpAnswer:
        note_id = request.path.removeprefix("/notes").strip("/")
        if request.method == "POST":
            return self._created(request)
        if not note_id:
            made = self.made.get(request.url.partition("?key=")[2], "")
            return _said(200, [self._note(made)] if made in self.notes else [])
        if note_id not in self.notes:
            return _said(404, {"error": "no such note"})
        shown = self._note(note_id)
        if request.method == "DELETE":
            del self.notes[note_id]
        return _said(200, shown)

    def _created(self, request: Request) -> HttpAnswer:
        note_id = self.made.setdefault(request.headers["idempotency-key"], f"n{len(self.made) + 1}")
        self.notes.setdefault(note_id, msgspec.json.decode(request.body)["text"])
        return _said(201, self._note(note_id))

    def _note(self, note_id: str) -> dict[str, str]:
        return {"note_id": note_id, "text": self.notes[note_id]}


def _said(status: int, body: object) -> HttpAnswer:
    return HttpAnswer(status=status, headers=JSON, body=msgspec.json.encode(body))


class TestSample(ConnectorSuite):
    connector = SampleConnector
    counterpart = NotesService
    examples = (NOTE, Example(tool="sample.get_note", arguments={"note_id": "n1"}, first=(NOTE,)))
