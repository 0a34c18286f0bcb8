"""Mail, against servers that were not written here."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from fairlead_sdk import (
    BadArguments,
    Call,
    Connection,
    Credential,
    NeedsReconnect,
    OutcomeUnknown,
    Refused,
    Tool,
    TryLater,
)
from fairlead_sdk.checks import faults_of
from fairlead_sdk.errors import ToolError

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.ports import WayOut
from fairlead_mail import MailConnector
from fairlead_mail.reading import Wanted, Which, find_messages, read_message
from fairlead_mail.sending import Message, send_message
from tests.support.certificates import Authority
from tests.support.mail_server import NAME, PASSWORD, USER, MailServer, free_port, mail_server

HELLO = Message(to=[USER], subject="Grüße & invoice 4711", text="Dear Ann,\n.\nhere it is.\n")


BOTH: list[tuple[Tool[Any, Any], Any]] = [(send_message, HELLO), (find_messages, Wanted())]


class AtHome:
    """A name server that finds every name on this machine."""

    async def addresses(self, _host: str, /) -> Sequence[str]:
        return ["127.0.0.1"]


@pytest.fixture(scope="module")
async def mail(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path_factory.mktemp("mail")) as server:
        yield server


def call_to(
    mail: MailServer,
    key: str,
    *,
    secret: str = PASSWORD,
    ca_file: Path | None = None,
    private: tuple[str, ...] = ("127.0.0.1/32",),
    **config: str,
) -> Call:
    servers = {"smtp": f"{NAME}:{mail.smtp_port}", "imap": f"{NAME}:{mail.imap_port}", "imap_tls": "implicit"}
    known = {"address": USER} | servers | config
    outbound = GuardedOutbound(private_networks=private, resolver=AtHome())
    way = WayOut(owner="con_1", egress=MailConnector.manifest.egress, timeout_s=10.0, config=known)
    credential = Credential(secret=secret, username=USER)
    return Call(
        call_id=key,
        attempt=1,
        idempotency_key=key,
        settings={"ca_file": str(ca_file or mail.ca_file)},
        connection=Connection(connection_id="con_1", config=known, credential=credential),
        addresses=outbound.addresses(way),
    )


async def met(asking: Any) -> ToolError:
    with pytest.raises(ToolError) as raised:
        await asking
    assert PASSWORD not in str(raised.value)
    return raised.value


def test_the_connector_check_finds_nothing() -> None:
    assert [str(fault) for fault in faults_of(MailConnector.manifest, shipped=True)] == []


async def test_a_message_that_was_sent_is_found_and_read(mail: MailServer) -> None:
    sent = await send_message.run(HELLO, call_to(mail, "tcl_1"))
    assert (sent.message_id, sent.refused) == ("<tcl_1@mail.example>", [])
    found = await find_messages.run(Wanted(subject="4711", sender="ann@"), call_to(mail, "tcl_2"))
    (summary,) = [each for each in found.messages if each.message_id == sent.message_id]
    assert (summary.subject, summary.sender, summary.to) == (HELLO.subject, USER, USER)
    assert summary.date is not None
    assert summary.date.endswith("Z")
    read = await read_message.run(Which(uid=summary.uid), call_to(mail, "tcl_3"))
    assert (read.text.replace("\r\n", "\n"), read.attachments, read.cut) == (HELLO.text, [], False)


async def test_reading_leaves_a_message_unseen(mail: MailServer) -> None:
    sent = await send_message.run(HELLO, call_to(mail, "tcl_unseen"))

    async def unseen() -> list[int]:
        found = await find_messages.run(Wanted(unseen=True, limit=50), call_to(mail, "tcl_4"))
        return [each.uid for each in found.messages if each.message_id == sent.message_id]

    (uid,) = await unseen()
    await read_message.run(Which(uid=uid), call_to(mail, "tcl_5"))
    assert await unseen() == [uid]


async def test_more_than_the_limit_is_said(mail: MailServer) -> None:
    await asyncio.gather(*(send_message.run(HELLO, call_to(mail, f"tcl_more{number}")) for number in range(3)))
    found = await find_messages.run(Wanted(limit=2), call_to(mail, "tcl_6"))
    assert (len(found.messages), found.more) == (2, True)
    assert found.messages[0].uid > found.messages[1].uid
    none = await find_messages.run(Wanted(since="2190-01-01"), call_to(mail, "tcl_7"))
    assert (none.messages, none.more) == ([], False)


async def test_people_see_the_message_before_they_approve_it(mail: MailServer) -> None:
    assert send_message.preview is not None
    shown = await send_message.preview(HELLO, call_to(mail, "tcl_8"))
    assert shown["after"] == {
        "from": USER,
        "to": [USER],
        "cc": [],
        "subject": HELLO.subject,
        "text": HELLO.text,
    }


async def test_a_wrong_password_asks_for_another(mail: MailServer) -> None:
    for tool, arguments in BOTH:
        error = await met(tool.run(arguments, call_to(mail, "tcl_9", secret="wrong")))
        assert (type(error), error.code) == (NeedsReconnect, "unauthorized")


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(mail: MailServer, tmp_path: Path) -> None:
    for tool, arguments in BOTH:
        error = await met(tool.run(arguments, call_to(mail, "tcl_10", ca_file=Authority(tmp_path).file)))
        assert (type(error), error.code) == (Refused, "no_tls")


async def test_a_certificate_for_another_name_is_not_trusted(mail: MailServer) -> None:
    call = call_to(mail, "tcl_11", smtp=f"other.example:{mail.smtp_port}")
    error = await met(send_message.run(HELLO, call))
    assert (type(error), error.code) == (Refused, "no_tls")


async def test_a_private_address_is_not_reached(mail: MailServer) -> None:
    error = await met(send_message.run(HELLO, call_to(mail, "tcl_12", private=())))
    assert (type(error), error.code) == (Refused, "egress_denied")


async def test_a_server_that_is_away_may_be_back_later(mail: MailServer) -> None:
    for tool, arguments in BOTH:
        error = await met(tool.run(arguments, call_to(mail, "tcl_13", smtp=f"{NAME}:1", imap=f"{NAME}:1")))
        assert (type(error), error.code) == (TryLater, "unreachable")


class Abrupt:
    """Takes a message and hangs up instead of saying so."""

    taken = 0

    async def handle_DATA(self, server: SMTP, *_: object) -> str:  # noqa: N802  # a hook's name
        self.taken += 1
        assert isinstance(server.transport, asyncio.Transport)
        server.transport.abort()
        return "250 OK"


async def test_a_server_that_takes_the_text_and_says_nothing_leaves_the_outcome_unknown(
    mail: MailServer, tmp_path: Path
) -> None:
    authority, handler = Authority(tmp_path), Abrupt()
    controller = Controller(
        handler,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=authority.server(NAME),
        authenticator=lambda *_: AuthResult(success=True),
    )
    await asyncio.to_thread(controller.start)
    try:
        call = call_to(mail, "tcl_14", ca_file=authority.file, smtp=f"{NAME}:{controller.port}")
        error = await met(send_message.run(HELLO, call))
    finally:
        await asyncio.to_thread(controller.stop)
    assert (type(error), handler.taken) == (OutcomeUnknown, 1)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (Message(to=[USER], subject="a\r\nBcc: eve@evil.example", text=""), BadArguments),
        (Wanted(since="2026-02-30"), BadArguments),
        (Which(uid=4_000_000_000), Refused),
    ],
)
async def test_what_makes_no_sense_is_refused(mail: MailServer, arguments: Any, kind: type[ToolError]) -> None:
    tools: dict[type, Any] = {Message: send_message, Wanted: find_messages, Which: read_message}
    assert type(await met(tools[type(arguments)].run(arguments, call_to(mail, "tcl_15")))) is kind
