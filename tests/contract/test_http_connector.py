"""The two tools for services without a description, against a notebook that keeps what it is sent."""

import json
from collections.abc import Mapping
from typing import ClassVar

from fairlead_sdk.conformance import ConnectorSuite
from fairlead_sdk.outbound import HttpAnswer
from fairlead_sdk.testing import Counterpart, Example, Request

from fairlead_http import HttpConnector


class Notebook(Counterpart):
    def __init__(self) -> None:
        self.notes: list[str] = []

    async def answer(self, request: Request) -> HttpAnswer:
        if request.method != "GET":
            self.notes.append(request.body.decode())
        body = json.dumps({"path": request.path, "notes": self.notes}).encode()
        return HttpAnswer(status=200, headers={"content-type": "application/json"}, body=body)

    async def state(self) -> list[str]:
        return list(self.notes)


class TestHttp(ConnectorSuite):
    connector = HttpConnector
    counterpart = Notebook
    config: ClassVar[Mapping[str, str]] = {"base_url": "https://notes.example.com/v1"}
    examples = (
        Example(tool="http.get_resource", arguments={"path": "/notes?page=2"}),
        Example(tool="http.send_request", arguments={"method": "POST", "path": "/notes", "json": '{"text": "hello"}'}),
    )
