"""Tools that read documents and compare; they know the intake store and no database."""

import asyncio
import base64
import binascii
from typing import Any

from fairlead_sdk import BadArguments, Call, Effect, Idempotency, Tool, tool

from fairlead_invoices import comparing, intake
from fairlead_invoices.document import Document
from fairlead_invoices.extraction import extract
from fairlead_invoices.order import Comparison
from fairlead_invoices.requests import Compare, ReadDocument, StoredDocument, StoreDocument


async def extracted(call: Call, sha256: str) -> Document:
    """Read and extract in a thread: a large document takes longer than an event loop should wait."""
    content = await intake.get(call, sha256)
    return await asyncio.to_thread(extract, content)


async def _verify_stored(arguments: StoreDocument, call: Call) -> StoredDocument | None:
    content = _content(arguments)
    sha256 = intake.name_of(content)
    found = await intake.size(call, sha256)
    return StoredDocument(document=sha256, size_bytes=found) if found == len(content) else None


@tool(
    "invoices.store_document",
    title="Store a document",
    effect=Effect.WRITE,
    idempotency=Idempotency.NATURAL,
    timeout_s=10.0,
    scopes=("invoices:write",),
    writes=("document",),
    verify=_verify_stored,
)
async def store_document(arguments: StoreDocument, call: Call) -> StoredDocument:
    """Keep an incoming document exactly as it came, whether or not it can be read. Its name is the SHA-256 of its
    bytes, so storing it again changes nothing. At most 5 MiB."""
    content = _content(arguments)
    return StoredDocument(document=await intake.put(call, content), size_bytes=len(content))


@tool(
    "invoices.read_document",
    title="Read an electronic invoice",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    timeout_s=20.0,
    scopes=("invoices:read",),
)
async def read_document(arguments: ReadDocument, call: Call) -> Document:
    """Extract the fields of an EN 16931 invoice or credit note in UBL 2.1 or CII. Deterministic, without a model.
    `checks` lists figures that do not agree with each other. Refuses what is malformed, too large, or declares
    entities."""
    return await extracted(call, arguments.document)


@tool(
    "invoices.compare",
    title="Compare a document with its order",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    timeout_s=10.0,
    scopes=("invoices:read",),
)
async def compare(arguments: Compare, call: Call) -> Comparison:  # noqa: ARG001 - a pure tool needs nothing of its call
    """Every difference between a document and its purchase order, in integer minor units, and every concern that no
    amount expresses. A partial delivery at the order's prices is no difference."""
    return await asyncio.to_thread(comparing.compare, arguments.document, arguments.order)


def _content(arguments: StoreDocument) -> bytes:
    if arguments.encoding == "text":
        return arguments.content.encode()
    try:
        return base64.b64decode("".join(arguments.content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadArguments("the content is not base64", code="bad_encoding") from None


TOOLS: tuple[Tool[Any, Any], ...] = (store_document, read_document, compare)
