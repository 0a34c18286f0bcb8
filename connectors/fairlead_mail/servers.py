"""Connections to mail servers: always under TLS, always to an address that was checked.

The standard library's clients block, so they run in threads. Each of their steps has a time limit: a thread ends soon
after the call that it served.
"""

import imaplib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fairlead_sdk import Call, NeedsReconnect, Refused, TryLater
from msgspec import Struct

PORTS_OF_TLS = (465, 993)  # on others it begins in the clear and is asked for, unless the connection says otherwise
STEP_S = 5.0


class Server(Struct, frozen=True):
    """`address` is what `host` was found at; certificates are checked against the name."""

    host: str
    port: int
    address: str
    username: str
    secret: str
    ca_file: str | None
    tls_first: bool

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port})"

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def connected(self, timeout_s: float) -> socket.socket:
        plain = socket.create_connection((self.address, self.port), timeout_s)
        if not self.tls_first:
            return plain
        return self.tls().wrap_socket(plain, server_hostname=self.host)


async def server(call: Call, field: str) -> Server:
    """Raises NeedsReconnect for a connection without a password, Refused for one that names no server."""
    connection = call.connection
    if connection is None or connection.credential is None:
        raise NeedsReconnect("the account has no password yet", "no_password")
    host, _, port = connection.config.get(field, "").rpartition(":")
    if not host or not port.isdigit():
        raise Refused(f"the connection's {field} is not host:port", "bad_config")
    return Server(
        host=host,
        port=int(port),
        address=await call.addresses.of(host, int(port)),
        username=connection.credential.username,
        secret=connection.credential.secret,
        ca_file=call.settings.get("ca_file"),
        tls_first=connection.config.get(f"{field}_tls", _usual(int(port))) != "starttls",
    )


def _usual(port: int) -> str:
    return "implicit" if port in PORTS_OF_TLS else "starttls"


class _Smtp(smtplib.SMTP):
    def __init__(self, to: Server) -> None:
        self._to = to
        super().__init__(to.host, to.port, timeout=STEP_S)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  # ours are known
        return self._to.connected(timeout)


class _Imap(imaplib.IMAP4):
    def __init__(self, to: Server) -> None:
        self._to = to
        super().__init__(to.host, to.port, timeout=STEP_S)

    def _create_socket(self, timeout: float | None) -> socket.socket:  # the base class is typed without a result
        return self._to.connected(timeout or STEP_S)


@contextmanager
def smtp(to: Server) -> Iterator[smtplib.SMTP]:
    """Signed in, nothing sent yet. Raises TryLater, NeedsReconnect, Refused."""
    with _unreachable_is_later(to):
        client = _Smtp(to)
    try:
        with _unreachable_is_later(to):
            if not to.tls_first:
                client.starttls(context=to.tls())
            client.ehlo_or_helo_if_needed()
            client.login(to.username, to.secret)
        yield client
    finally:
        client.close()


@contextmanager
def imap(to: Server) -> Iterator[imaplib.IMAP4]:
    """Signed in. Raises TryLater, NeedsReconnect, Refused."""
    with _unreachable_is_later(to):
        client = _Imap(to)
    try:
        with _unreachable_is_later(to):
            if not to.tls_first:
                _start_tls(client, to)
            _sign_in(client, to)
            yield client
    finally:
        client.shutdown()


def _start_tls(client: imaplib.IMAP4, to: Server) -> None:
    if "STARTTLS" not in client.capabilities:
        raise Refused(f"{to.host} offers no TLS", "no_tls")
    client.starttls(ssl_context=to.tls())


def _sign_in(client: imaplib.IMAP4, to: Server) -> None:
    try:
        client.login(to.username, to.secret)
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error:
        raise NeedsReconnect(f"{to.host} refuses the account's password", "unauthorized") from None


@contextmanager
def _unreachable_is_later(to: Server) -> Iterator[None]:
    """Nothing was sent or changed yet, whatever breaks here. Answers of servers are not quoted."""
    try:
        yield
    except smtplib.SMTPAuthenticationError:
        raise NeedsReconnect(f"{to.host} refuses the account's password", "unauthorized") from None
    except (smtplib.SMTPNotSupportedError, ssl.SSLError) as fault:
        raise Refused(f"{to.host} offers no TLS that can be trusted: {type(fault).__name__}", "no_tls") from None
    except imaplib.IMAP4.abort:
        raise TryLater(f"{to.host} ended the connection", "unreachable") from None
    except imaplib.IMAP4.error:
        raise Refused(f"{to.host} refuses", "refused") from None
    except smtplib.SMTPResponseException as answer:
        raise refusal(to, answer.smtp_code) from None
    except OSError as fault:  # what the library raises besides is one of these too
        raise TryLater(f"{to.host} cannot be reached: {type(fault).__name__}", "unreachable") from None


def refusal(to: Server, code: int) -> Exception:
    """SMTP's 4xx say not now, 5xx not ever."""
    said = f"{to.host} answered {code}"
    return TryLater(said, f"smtp_{code}") if 400 <= code < 500 else Refused(said, f"smtp_{code}")


def accepted(to: Server, answer: tuple[int, Any]) -> None:
    """Raises TryLater, Refused."""
    if not 200 <= answer[0] < 300:
        raise refusal(to, answer[0])
