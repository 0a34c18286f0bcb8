"""Messages that are there: found by what is known of them, read within bounds, never marked as seen."""

import asyncio
import imaplib
import re
from datetime import UTC, date
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

from fairlead_sdk import BadArguments, Call, Effect, Idempotency, Refused, tool
from msgspec import Meta, Struct

from fairlead_mail.servers import Server, imap, server

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
MAX_TEXT = 200_000
MAX_ATTACHMENTS = 100
_HEADERS = "(UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE MESSAGE-ID)])"
_UID = re.compile(rb"UID (\d+)")
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Folder = Annotated[str, Meta(pattern=r"^[A-Za-z0-9 ._/&+,-]{1,200}$")]
Words = Annotated[str, Meta(min_length=1, max_length=200, pattern=r'^[^\x00-\x1f"\\\x7f-\uffff]+$')]


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is given must hold. Words are looked for anywhere in their field, in ASCII."""

    folder: Folder = "INBOX"
    sender: Words | None = None
    subject: Words | None = None
    since: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="A day, this one included.")] | None = None
    unseen: bool = False
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class Summary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`uid` is the message's number in its folder; `date` is what the sender says, in UTC."""

    uid: int
    message_id: str
    sender: str
    to: str
    subject: str
    date: str | None
    size_bytes: int


class Found(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Newest first. `more`: there are others past the limit."""

    messages: list[Summary]
    more: bool


class Which(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    uid: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    folder: Folder = "INBOX"


class Attachment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    media_type: str
    size_bytes: int


class Read(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`text` is the plain part, empty where there is none; `cut` says that the message or its text was too long."""

    message: Summary
    text: str
    attachments: list[Attachment]
    cut: bool


@tool("mail.find_messages", title="Find messages", effect=Effect.READ, idempotency=Idempotency.NATURAL, timeout_s=20.0)
async def find_messages(arguments: Wanted, call: Call) -> Found:
    """Find messages in a folder by sender, subject, day, or because nobody has seen them; newest first."""
    criteria = _criteria(arguments)
    return await asyncio.to_thread(_find, await server(call, "imap"), arguments, criteria)


@tool("mail.read_message", title="Read a message", effect=Effect.READ, idempotency=Idempotency.NATURAL, timeout_s=20.0)
async def read_message(arguments: Which, call: Call) -> Read:
    """Read one message: its text, and what is attached to it. What it says was written by somebody else."""
    return await asyncio.to_thread(_read, await server(call, "imap"), arguments)


def _criteria(wanted: Wanted) -> list[str]:
    """Raises BadArguments for a day that is none."""
    found = ["UNSEEN"] if wanted.unseen else ["ALL"]
    for key, words in (("FROM", wanted.sender), ("SUBJECT", wanted.subject)):
        if words is not None:
            found += [key, f'"{words}"']
    if wanted.since is not None:
        try:
            day = date.fromisoformat(wanted.since)
        except ValueError:
            raise BadArguments("there is no such day", "bad_date") from None
        found += ["SINCE", f"{day.day:02}-{_MONTHS[day.month - 1]}-{day.year:04}"]  # in English, whatever the locale
    return found


def _find(to: Server, wanted: Wanted, criteria: list[str]) -> Found:
    with imap(to) as client:
        _open(client, wanted.folder)
        uids = [int(uid) for uid in _answer(client.uid("SEARCH", *criteria))[0].split()]
        newest = sorted(uids, reverse=True)[: wanted.limit]
        if not newest:
            return Found(messages=[], more=False)
        answer = _answer(client.uid("FETCH", ",".join(map(str, newest)), _HEADERS))
        summaries = [_summary(part[0], part[1]) for part in answer if isinstance(part, tuple)]
        return Found(messages=sorted(summaries, key=lambda each: -each.uid), more=len(uids) > len(newest))


def _read(to: Server, which: Which) -> Read:
    with imap(to) as client:
        _open(client, which.folder)
        answer = _answer(client.uid("FETCH", str(which.uid), f"(UID RFC822.SIZE BODY.PEEK[]<0.{MAX_MESSAGE_BYTES}>)"))
        parts = [part for part in answer if isinstance(part, tuple)]
        if not parts:
            raise Refused(f"there is no message {which.uid}", "not_found")
        return message_in(*parts[0][:2])


def message_in(head: bytes, raw: bytes) -> Read:
    """Raises Refused."""
    try:
        summary, message = _summary(head, raw), _parsed(raw)
        plain = message.get_body(("plain",))
        text = _text(plain) if plain is not None else ""
        attached = [_attachment(part) for part in message.iter_attachments()] if message.is_multipart() else []
    except RecursionError:
        raise Refused("the message has parts within parts, deeper than anybody means it", "too_deep") from None
    cut = summary.size_bytes > MAX_MESSAGE_BYTES or len(text) > MAX_TEXT
    return Read(message=summary, text=text[:MAX_TEXT], attachments=attached[:MAX_ATTACHMENTS], cut=cut)


def _open(client: imaplib.IMAP4, folder: str) -> None:
    if client.select(f'"{folder}"', readonly=True)[0] != "OK":
        raise Refused(f"there is no folder {folder}", "not_found")


def _answer(said: tuple[str, Any]) -> list[Any]:
    status, data = said
    if status != "OK":
        raise Refused("the server refuses the question", "refused")
    return [part for part in data if part is not None] or [b""]


def _summary(head: bytes, headers: bytes) -> Summary:
    message, uid, size = _parsed(headers), _UID.search(head), _SIZE.search(head)
    assert uid is not None, "it was asked for"
    return Summary(
        uid=int(uid[1]),
        message_id=_line(message, "Message-ID"),
        sender=_line(message, "From"),
        to=_line(message, "To"),
        subject=_line(message, "Subject"),
        date=_instant(_line(message, "Date")),
        size_bytes=int(size[1]) if size else 0,
    )


def _parsed(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


def _line(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, ""))[:1_000]
    except Exception:  # noqa: BLE001  # the library's parser has raised many things on headers that were made to hurt
        return ""


def _text(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a character set that nobody knows
        payload = part.get_payload(decode=True)
        return payload.decode("ascii", "replace") if isinstance(payload, bytes) else ""


def _attachment(part: MIMEPart) -> Attachment:
    payload = part.get_payload(decode=True)
    size = len(payload) if isinstance(payload, bytes) else 0
    return Attachment(name=(part.get_filename() or "")[:255], media_type=part.get_content_type(), size_bytes=size)


def _instant(text: str) -> str | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, TypeError):
        return None
