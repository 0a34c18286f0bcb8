"""What comes from outside may nest deeper than anybody means it. Each reader says of it what it says of other
rubbish."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from fairlead_sandbox import wire as w
from fairlead_sdk import Call
from fairlead_sdk.answers import json_of
from fairlead_sdk.contract import Effect
from fairlead_sdk.errors import BadArguments, Refused, ToolError
from fairlead_sdk.importing import ImportProblem
from fairlead_sdk.outbound import Connection, HttpAnswer

from fairlead.adapters.memory_results import found
from fairlead.adapters.oauth.answers import token_answer
from fairlead.adapters.oauth.client_auth import _key
from fairlead.api.bodies import decoded
from fairlead.api.documents import from_yaml
from fairlead.api.problems import MalformedBody
from fairlead.cli.documents import Document, value_of
from fairlead.cli.failures import Failure, of_answer
from fairlead.cli.transport import json_in
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec, UnreadableCommit
from fairlead.domain.connections.errors import ProviderMisfit, ProviderUnavailable
from fairlead.domain.errors import Invalid
from fairlead_http.asking import SendRequest, send_request
from fairlead_http.reading import document_of
from fairlead_mail.reading import message_in
from fairlead_mcp.importing import read as read_offer
from fairlead_sql.statements import document_of as statements_of
from tests.contract.test_results import KEY

DEEP = b'{"more": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"
JSON = {"content-type": "application/json"}
ANSWER = HttpAnswer(status=200, headers=JSON, body=DEEP)
SERVICE = Connection(connection_id="con_1", config={"base_url": "https://api.example.com"})
CALL = Call(call_id="tcl_1", attempt=1, idempotency_key="k", settings={}, connection=SERVICE)


def deep_mail() -> bytes:
    bounds = [b"b%d" % number for number in range(2_000)]
    opened = b"".join(b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n" % (each, each) for each in bounds)
    return opened + b"\r\nhello\r\n" + b"".join(b"--%b--\r\n" % each for each in reversed(bounds))


async def framed() -> Any:
    reader = asyncio.StreamReader()
    reader.feed_data(len(DEEP).to_bytes(w.HEAD_BYTES) + DEEP)
    return await w.frame(reader, msgspec.json.Decoder(w.FromChild), len(DEEP))


RAISES: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "body of a request": (lambda: decoded(DEEP), MalformedBody),
    "document in a request": (lambda: from_yaml(DEEP), Invalid),
    "commit on the log": (lambda: Codec(EVENTS, UPCASTERS).decode("run", DEEP), UnreadableCommit),
    "answer of a provider": (lambda: token_answer(ANSWER), ProviderUnavailable),
    "key of a client": (lambda: _key(DEEP.decode()), ProviderMisfit),
    "answer of a service": (lambda: json_of(ANSWER, Effect.READ), ToolError),
    "body for a service": (
        lambda: send_request.run(SendRequest(method="POST", path="/", json=DEEP.decode()), CALL),
        BadArguments,
    ),
    "message of a sandbox": (framed, w.Malformed),
    "answers of a sandbox": (lambda: w.answers_of(msgspec.Raw(DEEP), 1), w.Malformed),
    "mail": (lambda: message_in(b"1 (UID 1 RFC822.SIZE 1", deep_mail()), Refused),
    "answer of a server to the command line": (lambda: json_in(DEEP), Failure),
    "file for the command line": (lambda: Document(source="a.json", body=DEEP).value(), Failure),
    "argument of the command line": (lambda: value_of(DEEP.decode()), Failure),
}


@pytest.mark.parametrize("name", RAISES)
async def test_what_nests_too_deep_is_refused_like_other_rubbish(name: str) -> None:
    read, error = RAISES[name]

    async def reading() -> None:
        if inspect.isawaitable(answer := read()):
            await answer

    with pytest.raises(error):
        await reading()


ANSWERS: dict[str, tuple[Callable[[], Any], Callable[[Any], bool]]] = {
    "description of a service": (lambda: document_of(DEEP), lambda said: isinstance(said, ImportProblem)),
    "statements": (lambda: statements_of(DEEP), lambda said: isinstance(said, list)),
    "tools of a server": (lambda: read_offer("docs", DEEP, {}), lambda said: bool(said.problems)),
    "problem of a server": (lambda: of_answer(500, DEEP), lambda said: "answered 500" in str(said)),
    "result in the cache": (lambda: found(KEY, "epoch", DEEP), lambda said: said.kept is None),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_where_rubbish_is_an_answer_what_nests_too_deep_is_that_one(name: str) -> None:
    read, is_usual = ANSWERS[name]
    assert is_usual(read())
