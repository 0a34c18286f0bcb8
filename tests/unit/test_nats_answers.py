"""Whoever waits for an answer gets it, or hears that none comes: in time, and for each by itself."""

import asyncio

from fairlead.adapters.nats_answers import Answer, Answers
from fairlead.adapters.nats_messages import Reply


def new() -> Answer:
    return asyncio.get_running_loop().create_future()


def answers(within_s: float) -> Answers:
    made = Answers(within_s)
    made.come_to("_INBOX.x.")
    return made


async def test_each_gets_its_own_answer() -> None:
    waiting, first, second = answers(5), new(), new()
    to_first, to_second = waiting.expect(first, None, None), waiting.expect(second, None, None)
    for subject, body in ((to_second, b"2"), (to_first, b"1"), (to_first, b"late"), (b"_INBOX.x.99", b"nobody's")):
        waiting.take(Reply(subject, b"", b"", body))
    waiting.close()
    assert [(await each).data for each in (first, second)] == [b"1", b"2"]  # type: ignore[union-attr]  # they came


async def test_what_comes_before_a_status_is_gathered() -> None:
    waiting, last, gathered = answers(5), new(), list[Reply]()
    subject = waiting.expect(last, gathered, None)
    replies = [Reply(subject, b"", b"NATS/1.0\r\n\r\n", b"1"), Reply(subject, b"", b"NATS/1.0 204\r\n\r\n", b"")]
    for reply in replies:
        waiting.take(reply)
    waiting.close()
    assert (gathered, await last) == (replies[:1], replies[1])


async def test_who_has_waited_long_enough_hears_of_it_and_those_who_came_later_do_too() -> None:
    waiting, early, own, late = answers(0.01), new(), new(), new()
    waiting.expect(early, None, None)
    waiting.expect(own, None, 0.001)
    await own
    waiting.expect(late, None, None)
    assert [await each for each in (early, late)] == [None, None]


async def test_when_the_connection_breaks_everybody_hears_of_it_but_who_went_away() -> None:
    waiting, here, gone = answers(5), new(), new()
    waiting.expect(here, None, None)
    waiting.expect(gone, None, None)
    gone.cancel()
    waiting.take(None)
    waiting.close()
    assert await here is None
    assert gone.cancelled()
