"""Servers for SMTP and IMAP that were not written here, with TLS by a certificate for `mail.example`."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from msgspec import Struct

from tests.support.carrying import carried_to
from tests.support.certificates import Authority

NAME = "mail.example"
USER = "ann@mail.example"
PASSWORD = "a-password-that-nobody-sees"
READY_WITHIN_S = 20.0


class MailServer(Struct, frozen=True):
    """SMTP asks for STARTTLS, IMAP is under TLS from the start."""

    smtp_port: int
    imap_port: int
    ca_file: Path


@asynccontextmanager
async def mail_server(folder: Path) -> AsyncIterator[MailServer]:
    authority = Authority(folder)
    tls = authority.server(NAME)
    certificate = str(folder / f"{NAME}.pem")
    smtp_port, imap_port = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("mail_devel"),
        *("--host", "127.0.0.1", "--no-http", "--user", USER, "--password", PASSWORD),
        *("--smtp-port", str(smtp_port), "--smtps-port", str(free_port()), "--imap-port", str(imap_port)),
        *("--cert", certificate, "--key", certificate, "--auth-required", "--auth-require-tls", "--starttls-required"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            await _greeted(smtp_port, b"220")
            await _greeted(imap_port, b"* OK")
        # The IMAP server offers TLS only to other machines, so it stands behind something that does.
        async with carried_to(partial(asyncio.open_connection, "127.0.0.1", imap_port), tls) as imaps_port:
            yield MailServer(smtp_port, imaps_port, authority.file)
    finally:
        process.kill()
        await process.wait()


async def _greeted(port: int, word: bytes) -> None:
    """Returns once the server speaks. Each try is a connection of its own, so nothing is waited for blindly."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            greeting = await reader.readline()
            writer.close()
            if greeting.startswith(word):
                return
        await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
