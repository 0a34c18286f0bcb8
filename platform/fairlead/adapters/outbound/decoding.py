"""Bodies are unpacked piece by piece, so that a small one cannot become a large one before it is counted."""

import zlib
from collections.abc import Iterator

ACCEPTED = b"gzip, deflate"
MAX_PIECE = 64 * 1024
_GZIP = zlib.MAX_WBITS | 16


class BadEncoding(Exception):
    """The body is not packed as it says, or in a way that was not asked for. Never leaves this package."""


class Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def end(self) -> None:
        """A body that is not packed ends where HTTP says."""


class Packed:
    """gzip, of one member or several, and deflate, with zlib's header or without it."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._zlib = zlib.decompressobj(_GZIP if gzip else zlib.MAX_WBITS)
        self._is_first = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises BadEncoding."""
        while data:
            if self._zlib.eof:
                self._next_member()
            piece = self._piece(data)
            yield piece
            while len(piece) == MAX_PIECE and not self._zlib.eof:  # there may be more of it than there is input
                piece = self._piece(self._zlib.unconsumed_tail)
                yield piece
            data = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail

    def _next_member(self) -> None:
        if not self._gzip:
            raise BadEncoding
        self._zlib = zlib.decompressobj(_GZIP)

    def _piece(self, data: bytes) -> bytes:
        try:
            piece = self._zlib.decompress(data, MAX_PIECE)
        except zlib.error:
            if self._gzip or not self._is_first:
                raise BadEncoding from None
            piece = self._without_header(data)
        self._is_first = False
        return piece

    def _without_header(self, data: bytes) -> bytes:
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return self._zlib.decompress(data, MAX_PIECE)
        except zlib.error:
            raise BadEncoding from None

    def end(self) -> None:
        """Raises BadEncoding when the end is missing."""
        if not self._zlib.eof and not self._is_first:
            raise BadEncoding


def unpacking(encoding: str) -> Plain | Packed:
    """Raises BadEncoding for an encoding that we did not ask for, or several on top of each other."""
    match encoding.strip().lower():
        case "" | "identity":
            return Plain()
        case "gzip" | "x-gzip":
            return Packed(gzip=True)
        case "deflate":
            return Packed(gzip=False)
        case _:
            raise BadEncoding
