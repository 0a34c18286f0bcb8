"""Places outside where signed heads are laid down, so that nobody can later say that the ledger was another."""

import asyncio
import errno
import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path

from fairlead_ledger.heads import Head, head_text
from fairlead_sdk.errors import OutcomeUnknown, Refused, TryLater

from fairlead.domain.errors import Unavailable
from fairlead.ports import Clock, HeadAnchor, Outbound, WayOut

HOOK_TIMEOUT_S = 10.0


class FileAnchor:
    """One head a line, on disk when `lay` returns. Meant for a place that can only be added to."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def lay(self, heads: Sequence[Head]) -> None:
        await asyncio.to_thread(self._append, b"".join(head_text(head) + b"\n" for head in heads))

    def _append(self, lines: bytes) -> None:
        """A line that was cut off by the end of a process, or of the room, is left as it is."""
        try:
            opened = os.open(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
            with os.fdopen(opened, "r+b", buffering=0) as file:
                if (size := file.seek(0, os.SEEK_END)) and os.pread(opened, 1, size - 1) != b"\n":
                    lines = b"\n" + lines
                if file.write(lines) != len(lines):
                    raise OSError(errno.ENOSPC, "no room for a whole line")
                os.fsync(opened)
        except OSError as error:
            raise Unavailable(f"the anchor file {self._file}") from error


class WebhookAnchor:
    """Each head as a message of Standard Webhooks. The id follows from the head: sent again it is the same message."""

    def __init__(self, outbound: Outbound, url: str, secret: str, clock: Clock) -> None:
        self._outbound = outbound
        self._url = url
        self._secret = b64decode(secret.removeprefix("whsec_"))
        self._clock = clock

    async def lay(self, heads: Sequence[Head]) -> None:
        host = self._url.partition("://")[2].partition("/")[0]
        way = WayOut(egress=(host,), timeout_s=HOOK_TIMEOUT_S * len(heads), owner="ledger")
        http = self._outbound.http(way)
        for head in heads:
            body = head_text(head)
            try:
                answer = await http.send(
                    "POST", self._url, headers=self._headers(body), body=body, timeout_s=HOOK_TIMEOUT_S
                )
            except (Refused, TryLater, OutcomeUnknown) as error:
                raise Unavailable("the anchor's receiver") from error
            if not 200 <= answer.status < 300:
                raise Unavailable("the anchor's receiver")

    def _headers(self, body: bytes) -> dict[str, str]:
        message_id = f"msg_{hashlib.sha256(body).hexdigest()[:32]}"
        stamp = str(int(self._clock.now().timestamp()))
        signed = hmac.digest(self._secret, b".".join((message_id.encode(), stamp.encode(), body)), "sha256")
        return {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{b64encode(signed).decode()}",
        }


def anchors(
    file: Path | None, url: str | None, secret: str | None, outbound: Outbound, clock: Clock
) -> list[HeadAnchor]:
    found: list[HeadAnchor] = []
    if file is not None:
        found.append(FileAnchor(file))
    if url is not None and secret is not None:
        found.append(WebhookAnchor(outbound, url, secret, clock))
    return found
