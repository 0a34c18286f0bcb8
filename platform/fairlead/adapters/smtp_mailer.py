"""Mail of the installation itself, by SMTP: always under TLS, each message by a connection of its own."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from fairlead.domain.errors import Unavailable
from fairlead.ports import Mail, MailRefused

STEP_S = 15.0
PORTS = {"smtp": 587, "smtps": 465}


class MailServer(Struct, frozen=True, kw_only=True):
    """`tls_first`: under TLS from the start; else by STARTTLS, and never without."""

    host: str
    port: int
    tls_first: bool
    username: str = ""
    password: str = ""
    ca_file: Path | None = None

    def __repr__(self) -> str:
        return f"MailServer({self.host!r}, {self.port})"


def server_of(url: str, ca_file: Path | None) -> MailServer:
    """`smtp://user:password@host:587` or `smtps://…`; the setting's pattern has seen to the form."""
    parts = urlsplit(url)
    return MailServer(
        host=parts.hostname or "",
        port=parts.port or PORTS[parts.scheme],
        tls_first=parts.scheme == "smtps",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        ca_file=ca_file,
    )


class SmtpMailer:
    def __init__(self, server: MailServer, sender: str) -> None:
        self._server = server
        self._sender = sender
        self._domain = sender.rpartition("@")[2]  # said in greeting: the library would ask a name server for ours

    async def send(self, mail: Mail) -> None:
        """Answers of the server are not quoted: they may repeat anything."""
        if not mail.to.isascii():
            raise MailRefused("the address has other letters than ASCII")
        message = self._composed(mail)
        try:
            await asyncio.to_thread(self._hand_over, message, mail.to)
        except smtplib.SMTPRecipientsRefused as refused:
            raise _refusal(max(code for code, _ in refused.recipients.values())) from None
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError, ssl.SSLError) as fault:
            raise Unavailable(f"the mail server does not let us in: {type(fault).__name__}") from None
        except smtplib.SMTPResponseException as answer:
            raise _refusal(answer.smtp_code) from None
        except OSError as fault:  # what the library raises besides is one of these too
            raise Unavailable(f"the mail server cannot be reached: {type(fault).__name__}") from None

    def _composed(self, mail: Mail) -> EmailMessage:
        """Raises MailRefused for what no header can hold."""
        message = EmailMessage()
        try:
            message["From"], message["To"], message["Subject"] = self._sender, mail.to, mail.subject
            message["Date"] = formatdate()
            message["Message-ID"] = f"<{mail.key}@{self._domain}>"
            message["Auto-Submitted"] = "auto-generated"
            message.set_content(mail.text)
        except ValueError:
            raise MailRefused("a header cannot hold this") from None
        return message

    def _hand_over(self, message: EmailMessage, to: str) -> None:
        server, context = self._server, ssl.create_default_context(cafile=self._server.ca_file)
        client: smtplib.SMTP
        if server.tls_first:
            client = smtplib.SMTP_SSL(server.host, server.port, self._domain, timeout=STEP_S, context=context)
        else:
            client = smtplib.SMTP(server.host, server.port, self._domain, timeout=STEP_S)
        with client:
            if not server.tls_first:
                client.starttls(context=context)
            if server.username:
                client.login(server.username, server.password)
            client.send_message(message, from_addr=message["From"].addresses[0].addr_spec, to_addrs=[to])


def _refusal(code: int) -> Exception:
    """SMTP's 4xx say not now, 5xx not ever."""
    said = f"the mail server answered {code}"
    return Unavailable(said) if 400 <= code < 500 else MailRefused(said)
