"""One message. SMTP knows no keys: when the answer to its text is lost, nobody can tell but the people who get it."""

import asyncio
import smtplib
from email import policy
from email.message import EmailMessage
from email.utils import formatdate
from typing import Annotated, Any

from fairlead_sdk import BadArguments, Call, Effect, Idempotency, OutcomeUnknown, tool
from msgspec import Meta, Struct

from fairlead_mail.servers import Server, accepted, refusal, server, smtp

Address = Annotated[str, Meta(pattern=r"^[^\s<>@,;\"]{1,64}@[A-Za-z0-9.-]{1,253}$", max_length=320)]
MessageId = Annotated[str, Meta(pattern=r"^<[^\s<>]{1,250}>$")]


class Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    to: Annotated[list[Address], Meta(min_length=1, max_length=50)]
    subject: Annotated[str, Meta(max_length=500)]
    text: Annotated[str, Meta(max_length=200_000)]
    cc: Annotated[list[Address], Meta(max_length=50)] = []
    in_reply_to: MessageId | None = None


class Sent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`refused` are addresses that the server did not take the message for; the others' it did."""

    message_id: str
    refused: list[str]


async def shown(arguments: Message, call: Call) -> dict[str, Any]:
    """The message as it will go out."""
    sender = call.connection.config["address"] if call.connection else ""
    return {"before": None, "after": {"from": sender, **_plain(arguments)}}


@tool(
    "mail.send_message",
    title="Send a message",
    effect=Effect.WRITE,
    idempotency=Idempotency.NONE,
    writes=("mail_message",),
    timeout_s=30.0,
    preview=shown,
)
async def send_message(arguments: Message, call: Call) -> Sent:
    """Send a message in plain text from the account's own address."""
    to = await server(call, "smtp")
    assert call.connection is not None, "the server came from it"
    message = _composed(arguments, call.connection.config["address"], call.idempotency_key)
    refused = await asyncio.to_thread(_send, to, message, [*arguments.to, *arguments.cc])
    return Sent(message_id=message["Message-ID"], refused=refused)


def _plain(arguments: Message) -> dict[str, Any]:
    said = {"to": arguments.to, "cc": arguments.cc, "subject": arguments.subject, "text": arguments.text}
    return said | ({"in_reply_to": arguments.in_reply_to} if arguments.in_reply_to else {})


def _composed(arguments: Message, sender: str, key: str) -> EmailMessage:
    """Raises BadArguments for what no header can hold, a line break for one."""
    message = EmailMessage()
    domain = sender.rpartition("@")[2]
    try:
        message["From"], message["To"], message["Subject"] = sender, ", ".join(arguments.to), arguments.subject
        if arguments.cc:
            message["Cc"] = ", ".join(arguments.cc)
        if arguments.in_reply_to:
            message["In-Reply-To"] = message["References"] = arguments.in_reply_to
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{key}@{domain}>"  # the same again, should it be sent again
        message.set_content(arguments.text)
    except ValueError:
        raise BadArguments("a header cannot hold this", "bad_header") from None
    return message


def _send(to: Server, message: EmailMessage, recipients: list[str]) -> list[str]:
    with smtp(to) as client:
        accepted(to, client.mail(message["From"]))
        answers = {recipient: client.rcpt(recipient)[0] for recipient in recipients}
        refused = [recipient for recipient, code in answers.items() if not 200 <= code < 300]
        if len(refused) == len(recipients):
            raise refusal(to, max(answers.values()))
        try:
            accepted(to, client.data(message.as_bytes(policy=policy.SMTP)))
        except smtplib.SMTPDataError as answer:
            raise refusal(to, answer.smtp_code) from None
        except (OSError, smtplib.SMTPException) as fault:
            raise OutcomeUnknown(f"{to.host} did not say whether it took the message: {type(fault).__name__}") from None
        return refused
