"""What is written in one turn of the loop leaves in one piece, in order, and nothing is held back for longer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fairlead.adapters.written_together import MOST_HELD_BYTES, WrittenTogether


class Pieces(asyncio.Transport):
    """Keeps what it is given to write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


async def test_writes_of_one_turn_are_one() -> None:
    pieces = Pieces()
    together = WrittenTogether(pieces)
    together.write(b"head ")
    together.write(b"body")
    held = together.get_write_buffer_size()
    assert (pieces.written, held) == ([], 9)
    await asyncio.sleep(0)
    together.write(b"next")
    await asyncio.sleep(0)
    assert pieces.written == [b"head body", b"next"]


async def test_whoever_writes_without_end_is_not_held_back() -> None:
    pieces = Pieces()
    together = WrittenTogether(pieces)
    for _ in range(3):
        together.write(b"x" * MOST_HELD_BYTES)
    assert len(b"".join(pieces.written)) >= 2 * MOST_HELD_BYTES
    assert together.get_write_buffer_size() <= MOST_HELD_BYTES
    await asyncio.sleep(0)
    assert len(b"".join(pieces.written)) == 3 * MOST_HELD_BYTES


async def test_what_was_written_before_the_end_still_leaves_and_what_comes_after_it_does_not() -> None:
    pieces = Pieces()
    together = WrittenTogether(pieces)
    together.write(b"last words")
    together.close()
    together.write(b"too late")
    await asyncio.sleep(0)
    assert pieces.written == [b"last words"]


async def test_a_real_connection_brings_all_of_it() -> None:
    def greet(transport: WrittenTogether) -> None:
        for number in range(5):
            transport.write(b"%d," % number)

    async with listening(greet) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readexactly(10) == b"0,1,2,3,4,"
        writer.close()


@asynccontextmanager
async def listening(greet: Callable[[WrittenTogether], None]) -> AsyncIterator[int]:
    class Greeting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport), "TCP"
            greet(WrittenTogether(transport))

    server = await asyncio.get_running_loop().create_server(Greeting, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
