"""An SMTP server that keeps what it is given, under TLS as `localhost`, for those who know a password."""

import asyncio
import email
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from tests.support.certificates import Authority

USER, PASSWORD = "fairlead", "a-password-of-the-installation"


class Letterbox:
    """`refuses` are answers to the next recipients, one each."""

    def __init__(self, port: int, ca_file: Path) -> None:
        self.port = port
        self.ca_file = ca_file
        self.letters: list[tuple[str, EmailMessage]] = []
        self.refuses: list[str] = []
        self._news = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"smtp://{USER}:{PASSWORD}@localhost:{self.port}"

    async def to(self, address: str, count: int = 1) -> list[EmailMessage]:
        """What came for them, once there are so many."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: len(self._of(address)) >= count)
            return self._of(address)

    def _of(self, address: str) -> list[EmailMessage]:
        return [letter for to, letter in self.letters if to == address]

    async def handle_RCPT(  # noqa: N802  # the library's name
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.refuses:
            return self.refuses.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802  # the same
        assert isinstance(envelope.content, bytes), "nothing is decoded before us"
        letter = email.message_from_bytes(envelope.content, policy=default)
        async with self._news:
            self.letters += [(to, letter) for to in envelope.rcpt_tos]
            self._news.notify_all()
        return "250 OK"


@asynccontextmanager
async def letterbox(folder: Path) -> AsyncIterator[Letterbox]:
    authority = Authority(folder)
    tls = authority.server("localhost")
    box = Letterbox(0, authority.file)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(box, tls_context=tls, require_starttls=True, auth_required=True, authenticator=_known),
        "localhost",
        0,
    )
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()


def _known(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    is_known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_known)
