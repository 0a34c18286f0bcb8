"""Keys that sign ledgers are changed while processes sign."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fairlead_ledger.heads import Head, head_from, is_genuine
from fairlead_ledger.keys import Trust, keys_document, read_keys

from fairlead.adapters.ledger_keys import LedgerKeys, add_key, retire_keys
from tests.support.clock import T0
from tests.support.signing_process import HEADS


class Signing:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def heads(self) -> list[Head]:
        assert self._process.stdin, "a pipe"
        assert self._process.stdout, "a pipe"
        self._process.stdin.write(b"more\n")
        async with asyncio.timeout(30):
            return [head_from(each) for each in json.loads(await self._process.stdout.readline())]


@asynccontextmanager
async def signing(file: Path) -> AsyncIterator[Signing]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.signing_process", str(file)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Signing(process)
    finally:
        process.terminate()
        await process.communicate()


async def test_once_a_key_is_retired_no_process_signs_with_it_and_what_it_signed_holds(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first = add_key(file, T0)
    believed = Trust([LedgerKeys(file).signer().public_key])
    signed: list[Head] = []
    async with AsyncExitStack() as processes:
        both = [await processes.enter_async_context(signing(file)) for _ in range(2)]
        for process in both:
            signed += await process.heads()
        assert {head.key_id for head in signed} == {first}
        under_way = [asyncio.create_task(process.heads()) for process in both]
        second = await asyncio.to_thread(add_key, file, T0)
        assert retire_keys(file) == [first]
        for heads in await asyncio.gather(*under_way):  # each by the key of its moment
            keys = [head.key_id for head in heads]
            assert keys == sorted(keys, key=[first, second].index)
            signed += heads
        for process in both:
            after = await process.heads()
            assert [head.key_id for head in after] == [second] * HEADS
            signed += after
    public = keys_document(LedgerKeys(file).public())
    assert [key["key_id"] for key in public["keys"]] == [first, second]
    assert "private_key" not in json.dumps(public)
    whoever_knew_the_first = Trust(
        [bytes.fromhex(public["keys"][0]["public_key"])], read_keys(json.dumps(public).encode())
    )
    assert all(is_genuine(head, whoever_knew_the_first) for head in signed)
    assert {head.key_id for head in signed if not is_genuine(head, believed)} == {second}
