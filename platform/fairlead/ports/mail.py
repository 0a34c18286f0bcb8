"""Letters to people."""

from typing import Protocol

from msgspec import Struct

from fairlead.domain.errors import FairleadError


class MailRefused(FairleadError):
    """The mail server will never take this message for this address."""

    code = "mail_refused"


class Mail(Struct, frozen=True, kw_only=True):
    """To one person, in plain text. `key` is the same when the same mail is sent again."""

    to: str
    subject: str
    text: str
    key: str


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Returns once a mail server has taken it. Raises MailRefused, Unavailable to be asked again later."""
