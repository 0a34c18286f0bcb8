"""Servers for SMTP and IMAP that were not written here, with TLS by a certificate for `mail.example`."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from msgspec import Struct

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
        async with _under_tls(tls, imap_port) as imaps_port:
            yield MailServer(smtp_port, imaps_port, authority.file)
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _under_tls(tls: ssl.SSLContext, port: int) -> AsyncIterator[int]:
    """The IMAP server offers TLS only to other machines, so it stands behind something that does."""
    tasks: set[asyncio.Task[None]] = set()

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        target.close()

    async def connected(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        tasks.update((asyncio.create_task(carry(client, to_server)), asyncio.create_task(carry(server, to_client))))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
