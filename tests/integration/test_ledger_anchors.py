"""Heads that were laid down outside: with a receiver over HTTP, in a file, and what they are good for later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fairlead_ledger.__main__ import main
from fairlead_ledger.canonical import parse
from fairlead_ledger.heads import Head, head_from, head_text, is_genuine
from fairlead_ledger.keys import Trust
from standardwebhooks import Webhook

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.ledger_anchors import FileAnchor, anchors
from fairlead.adapters.ledger_keys import LedgerKeys, add_key
from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.postgres import Database
from fairlead.consumers.ledger import Keeper
from fairlead.consumers.ledger_heads import HeadSigner
from fairlead.domain.envelope import Sequence
from fairlead.domain.errors import Unavailable
from fairlead.ports import HeadAnchor
from tests.support.clock import T0
from tests.support.flaky_http import FlakyServer, reply
from tests.support.histories import CODEC, Writer, a_run, five_steps
from tests.support.ledgers import HandLedger, ndjson, signer

SECRET = "whsec_" + "c2VjcmV0" * 4
PATH, LOCAL = "/heads", "127.0.0.1/32"
EVENT = {"type": "tool_call.completed.v1", "call_id": "tcl_1", "output": {"n": 1}}


class Tower:
    """A receiver that keeps what it is sent, when it is up."""

    def __init__(self, server: FlakyServer) -> None:
        self._server = server
        self.up()

    def up(self) -> None:
        self._server.answers[PATH] = reply(204, b"")

    def down(self) -> None:
        self._server.answers[PATH] = reply(503, b"")

    @property
    def heads(self) -> list[Head]:
        for asked in self._server.asked:
            Webhook(SECRET).verify(asked.body, asked.headers)
        return [head_from(parse(asked.body).value) for asked in self._server.asked]


@pytest.fixture
async def server() -> AsyncIterator[FlakyServer]:
    async with FlakyServer.at() as running:
        yield running


@asynccontextmanager
async def anchor(server: FlakyServer, *allowed: str) -> AsyncIterator[HeadAnchor]:
    async with GuardedOutbound(private_networks=allowed, plain_http=[server.authority]) as way:
        (found,) = anchors(None, server.url(PATH), SECRET, way, SystemClock())
        yield found


async def test_a_head_that_was_sent_holds_by_itself_and_later_ones_follow_once_the_receiver_is_back(
    server: FlakyServer, engine_database: Database, tmp_path: Path
) -> None:
    tower, file = Tower(server), tmp_path / "anchors"
    keys_file = tmp_path / "keys"
    add_key(keys_file, T0)
    keys = LedgerKeys(keys_file)
    log, run = MemoryLog(CODEC), a_run("tnt_alice", 1)
    writer, steps = Writer(log), list(five_steps(run))
    async with engine_database.session() as session, anchor(server, LOCAL) as receiver:
        heads = HeadSigner(engine_database, keys, [receiver, FileAnchor(file)], SystemClock(), every_s=60)
        keeper = await Keeper.begin(session, 0)
        for kept, is_up in ((2, True), (3, False), (4, False), (6, True)):
            tower.up() if is_up else tower.down()
            before = await log.last_sequence()
            await writer.write(run, *steps[before:kept])
            async with log.copies(Sequence(before)) as batches:
                await keeper.keep(session, await anext(aiter(batches)))
            assert await heads.round(session) == 1
            await heads.round(session)  # asks once more where it was refused, and sends nothing twice
    assert [head.size for head in tower.heads] == [2, 3, 3, 4, 4, 6]
    in_file = [head_from(parse(line).value) for line in file.read_bytes().splitlines()]
    assert [head.size for head in in_file] == [2, 3, 4, 6]
    assert (in_file[0], in_file[-1]) == (tower.heads[0], tower.heads[-1])
    believed = Trust([keys.signer().public_key])
    assert all(is_genuine(head, believed) for head in [*tower.heads, *in_file])


async def test_a_receiver_that_sends_us_elsewhere_is_not_followed_and_a_private_one_not_asked(
    server: FlakyServer,
) -> None:
    head = HandLedger().head()
    async with FlakyServer.at("127.0.0.2") as hidden:
        server.answers[PATH] = reply(307, b"", location=hidden.url(PATH))
        async with anchor(server, LOCAL) as sent_on, anchor(hidden) as private:
            for each in (sent_on, private):
                with pytest.raises(Unavailable):
                    await each.lay([head])
        assert (len(server.asked), hidden.asked) == (1, [])


async def test_a_history_that_was_written_anew_and_signed_again_does_not_fit_the_head_in_the_file(
    tmp_path: Path,
) -> None:
    file, export = tmp_path / "anchors", tmp_path / "e.ndjson"
    honest, forged = HandLedger(), HandLedger()
    for number in range(6):
        honest.add(EVENT | {"n": number})
        forged.add(EVENT | {"n": number if number != 3 else 99})
    await FileAnchor(file).lay([honest.head()])
    receipt = tmp_path / "receipt"
    receipt.write_bytes(file.read_bytes().splitlines()[0])
    for ledger, code in ((honest, 0), (forged, 1)):
        ledger.add(EVENT | {"n": 7})
        export.write_bytes(ndjson(ledger.export([0, 1, 2], [3, 4, 5, 6], since=6)))
        key = signer().public_key.hex()
        assert main(["verify", str(export), "--key", key]) == 0
        assert main(["verify", str(export), "--key", key, "--receipt", str(receipt)]) == code


async def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    file, head = tmp_path / "anchors", HandLedger().head()
    whole = head_text(head)
    file.write_bytes(whole + b"\n" + whole[:40])
    await FileAnchor(file).lay([head, head])
    assert file.read_bytes().splitlines() == [whole, whole[:40], whole, whole]
    with pytest.raises(Unavailable):
        await FileAnchor(tmp_path).lay([head])
