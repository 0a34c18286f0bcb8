"""The vendors' own clients understand the server that providers are tested against: it speaks the wire as they know it.

They live in an environment of their own, with `openai` and `anthropic`: `FAIRLEAD_TEST_MODEL_CLIENTS` names its
interpreter.
"""

import asyncio
import json
import os
from typing import Any

import pytest
from fairlead_sdk.models import Wire

from fairlead.domain.models.assembling import pieces
from fairlead.domain.models.sse import sse
from fairlead.domain.models.wires import FORMS
from tests.support.flaky_http import Answer, Asked, reply
from tests.support.flaky_http import Wire as Writer
from tests.support.model_upstream import CHAT, HELLO, MESSAGES, RESPONSES, ModelUpstream, whole_answer

CLIENTS = os.environ.get("FAIRLEAD_TEST_MODEL_CLIENTS", "")
pytestmark = pytest.mark.skipif(not CLIENTS, reason="FAIRLEAD_TEST_MODEL_CLIENTS names no interpreter")

PROGRAM = """
import json, sys
import anthropic, openai

base, talk = sys.argv[1], [{"role": "user", "content": "hi"}]
schema = {"type": "object", "properties": {"city": {"type": "string"}}}
chat = openai.OpenAI(base_url=base + "/v1", api_key="sk-x", max_retries=0)
claude = anthropic.Anthropic(base_url=base, api_key="sk-x", max_retries=0)
function = {"type": "function", "function": {"name": "weather", "parameters": schema}}
tool = {"name": "weather", "input_schema": schema}
said = {}

whole = chat.chat.completions.create(model="m", messages=talk)
said["chat"] = [whole.choices[0].message.content, whole.usage.completion_tokens]
called = chat.chat.completions.create(model="m", messages=talk, tools=[function]).choices[0].message.tool_calls[0]
said["chat_call"] = [called.function.name, json.loads(called.function.arguments)]
with chat.chat.completions.stream(model="m", messages=talk, stream_options={"include_usage": True}) as stream:
    last = stream.get_final_completion()
said["chat_stream"] = [last.choices[0].message.content, last.usage.completion_tokens]

function = {"type": "function", "name": "weather", "parameters": schema, "strict": False}
whole = chat.responses.create(model="m", input="hi")
said["responses"] = [whole.output_text, whole.usage.output_tokens]
called = chat.responses.create(model="m", input="hi", tools=[function]).output[0]
said["responses_call"] = [called.name, json.loads(called.arguments)]
with chat.responses.stream(model="m", input="hi") as stream:
    last = stream.get_final_response()
said["responses_stream"] = [last.output_text, last.usage.output_tokens]

whole = claude.messages.create(model="m", max_tokens=9, messages=talk)
said["messages"] = [whole.content[0].text, whole.usage.output_tokens]
called = claude.messages.create(model="m", max_tokens=9, messages=talk, tools=[tool]).content[0]
said["messages_call"] = [called.name, called.input]
with claude.messages.stream(model="m", max_tokens=9, messages=talk, tools=[tool]) as stream:
    called = stream.get_final_message().content[0]
said["messages_stream_call"] = [called.name, called.input]
with claude.messages.stream(model="m", max_tokens=9, messages=talk) as stream:
    last = stream.get_final_message()
said["messages_stream"] = [last.content[0].text, last.usage.output_tokens]
print(json.dumps(said))
"""
FAILING = """
import sys
import anthropic, openai

base, talk = sys.argv[1], [{"role": "user", "content": "hi"}]
try:
    openai.OpenAI(base_url=base + "/v1", api_key="k", max_retries=0).chat.completions.create(model="m", messages=talk)
except openai.RateLimitError as error:
    print('"%s' % error.code, end=" ")
try:
    claude = anthropic.Anthropic(base_url=base, api_key="k", max_retries=0)
    claude.messages.create(model="m", max_tokens=9, messages=talk)
except anthropic.RateLimitError as error:
    print('%s"' % error.body["error"]["type"])
"""


async def said(program: str, upstream: ModelUpstream) -> Any:
    running = await asyncio.create_subprocess_exec(
        CLIENTS, "-c", program, upstream.server.url(""), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await running.communicate()
    assert running.returncode == 0
    return json.loads(out)


async def test_the_vendors_clients_read_every_answer() -> None:
    call = ["weather", {"city": "Bergen"}]
    async with ModelUpstream.at() as upstream:
        assert await said(PROGRAM, upstream) == {
            "chat": [HELLO, 7],
            "chat_call": call,
            "chat_stream": [HELLO, 7],
            "responses": [HELLO, 7],
            "responses_call": call,
            "responses_stream": [HELLO, 7],
            "messages": [HELLO, 7],
            "messages_call": call,
            "messages_stream_call": call,
            "messages_stream": [HELLO, 7],
        }


def ours(path: str, wire: Wire) -> Answer:
    """What the platform writes, of the answer that the server gives."""

    async def answer(writer: Writer, asked: Asked) -> None:
        body, form = json.loads(asked.body), FORMS[wire]
        whole = form.read_answer(whole_answer(path, body))
        if not body.get("stream"):
            await reply(200, json.dumps(form.write_answer(whole).body).encode())(writer, asked)
            return
        events, stream = form.writer(), b""
        for event in (event for delta in pieces(whole) for event in events.write(delta)):
            data = form.last_word.encode() if event is None else json.dumps(event).encode()
            stream += sse(event["type"] if event and "type" in event else "", data)
        await reply(200, stream, content_type="text/event-stream")(writer, asked)

    return answer


async def test_the_vendors_clients_read_what_we_write() -> None:
    wires = {CHAT: Wire.OPENAI_CHAT, RESPONSES: Wire.OPENAI_RESPONSES, MESSAGES: Wire.ANTHROPIC_MESSAGES}
    async with ModelUpstream.at() as upstream:
        theirs = await said(PROGRAM, upstream)
        upstream.server.answers = {path: ours(path, wire) for path, wire in wires.items()}
        assert await said(PROGRAM, upstream) == theirs


async def test_the_vendors_clients_read_fields_that_they_do_not_know_of() -> None:
    async with ModelUpstream.at() as upstream:
        upstream.mood = "unknown_fields"
        assert (await said(PROGRAM, upstream))["messages_stream"] == [HELLO, 7]


async def test_the_vendors_clients_know_the_errors() -> None:
    async with ModelUpstream.at() as upstream:
        upstream.mood = "limited"
        assert await said(FAILING, upstream) == "rate_limit_exceeded rate_limit_error"
