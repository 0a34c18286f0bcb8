"""An export into a file: bytes as they come, taken up again where an earlier try had stopped.

What has come is kept beside the target under a name of its own until it is whole. A line that was cut off is thrown
away; the position of the last whole one is where the server goes on. A JSON document begins anew: a part of it is none.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct
from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.output import console
from fairlead.cli.plain import plain
from fairlead.cli.transport import Api

MAX_TRIES = 10  # in a row that brought nothing
PAUSE_S = 0.5
CHUNK_BYTES = 1024 * 1024
TAIL_BYTES = 64 * 1024 * 1024  # the longest line that is looked for at the end of a part
MEDIA_TYPES: Mapping[str, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "proof": "application/x-ndjson",
}
_POSITION_AT_START: Mapping[str, re.Pattern[bytes]] = {
    "csv": re.compile(rb"(\d{1,18}-\d{1,18}),"),
    "ndjson": re.compile(rb'\{"position":"(\d{1,18}-\d{1,18})"'),
    "proof": re.compile(rb'\{"last":"(\d{1,18}-\d{1,18})"'),
    "json": re.compile(rb"()(?!)"),  # never: a part of a document is none
}

Advance = Callable[[int], None]


class Download(Struct, frozen=True, kw_only=True):
    path: str
    params: Mapping[str, str | None]
    form: str
    target: Path

    @property
    def partial(self) -> Path:
        """Of this very request: a part of another one is never gone on with."""
        asked = msgspec.json.encode([self.path, self.form, sorted(self.params.items())], order="deterministic")
        return self.target.with_name(f"{self.target.name}.{hashlib.sha256(asked).hexdigest()[:8]}.partial")


def download(api: Api, wanted: Download) -> None:
    """The target is there and whole when this returns. Raises Failure; what has come stays for the next try."""
    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    try:
        with Progress(*columns, console=console(stderr=True), transient=True) as progress:
            task = progress.add_task(plain(wanted.target.name), total=None)
            _whole(api, wanted, lambda size: progress.update(task, completed=size))
        wanted.partial.replace(wanted.target)
    finally:
        if wanted.partial.exists() and wanted.partial.stat().st_size == 0:
            wanted.partial.unlink()


def _whole(api: Api, wanted: Download, progress: Advance) -> None:
    """Try by try, as long as something comes."""
    failed = 0
    while True:
        with _opened(wanted.partial) as part:
            began = part.tell()
            try:
                _fill(api, wanted, part, progress)
                return
            except Failure as failure:
                failed = failed + 1 if part.tell() <= began else 0
                if failure.exit_code != Exit.UNAVAILABLE or failed >= MAX_TRIES:
                    raise
        api.pause(PAUSE_S)


def _opened(partial: Path) -> IO[bytes]:
    """For reading its end and writing on; only its owner may read it."""
    opened = os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    opened.seek(0, os.SEEK_END)
    return opened


def _fill(api: Api, wanted: Download, part: IO[bytes], progress: Advance) -> None:
    after = _cut_to_last_line(part, wanted.form)
    params = {**wanted.params, "after": after}
    with api.stream(wanted.path, params, headers={"Accept": MEDIA_TYPES[wanted.form]}) as response:
        for chunk in response.iter_bytes():
            part.write(chunk)
            progress(part.tell())
    part.flush()
    os.fsync(part.fileno())


def _cut_to_last_line(part: IO[bytes], form: str) -> str | None:
    """The position of the last whole line; None, and an empty file, where there is none to go on from."""
    size = part.seek(0, os.SEEK_END)
    part.seek(max(0, size - TAIL_BYTES))
    tail = part.read() if form != "json" else b""
    ends = _line_ends(tail, _quotes_in(part) if form == "csv" else 0, of_csv=form == "csv")
    end = next(ends, None)
    found = None if end is None else _POSITION_AT_START[form].match(tail, next(ends, 0))
    part.seek(size - len(tail) + end if found and end else 0)
    part.truncate()
    return found[1].decode() if found else None


def _line_ends(tail: bytes, quotes: int, *, of_csv: bool) -> Iterator[int]:
    """From the last to the first. In CSV a line break between quotes ends no line: an even number of quotes is before
    one that does."""
    end = len(tail)
    while (at := tail.rfind(b"\n", 0, end)) >= 0:
        quotes -= tail.count(b'"', at, end) if of_csv else 0
        end = at
        if quotes % 2 == 0:
            yield at + 1


def _quotes_in(part: IO[bytes]) -> int:
    part.seek(0)
    return sum(chunk.count(b'"') for chunk in iter(lambda: part.read(CHUNK_BYTES), b""))
