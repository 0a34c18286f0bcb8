"""The counterparts of the shipped agents pass the suite that third parties run, on a real file and a real folder."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fairlead_sdk.conformance import ConnectorSuite
from fairlead_sdk.testing import Counterpart, Example

from fairlead_library import LibraryConnector
from fairlead_support import SupportConnector
from tests.support.agent_examples import LIBRARY, new_desk

REFUND = {"number": "1044", "amount_minor": 3_890, "currency": "EUR", "reason": "a cup was broken"}
ANNA = {"email": "anna@example.org"}
QUOTE = {"id": "reports/grid-2025", "quote": "heat pumps covered 31 % of new heating systems"}


class Desk(Counterpart):
    file: ClassVar[Path]

    async def open(self) -> None:
        new_desk(self.file)

    async def state(self) -> Any:
        with closing(sqlite3.connect(self.file)) as desk:
            return {
                "customers": desk.execute("SELECT * FROM customers ORDER BY 1").fetchall(),
                "refunds": desk.execute("SELECT order_number, amount_minor FROM refunds ORDER BY 1").fetchall(),
            }


class TestSupport(ConnectorSuite):
    connector = SupportConnector
    counterpart = Desk
    shipped = True
    examples = (
        Example(tool="support.find_customer", arguments=ANNA),
        Example(tool="support.find_order", arguments={"number": "1044"}),
        Example(tool="support.refund_order", arguments=REFUND),
        Example(tool="support.delete_customer", arguments=ANNA),
    )


class TestLibrary(ConnectorSuite):
    connector = LibraryConnector
    shipped = True
    examples = (
        Example(tool="library.search_source", arguments={"source": "reports", "query": "heat pumps"}),
        Example(tool="library.check_citations", arguments={"citations": [QUOTE]}),
    )


@pytest.fixture(scope="module", autouse=True)
def furnished(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("agents")
    shutil.copytree(LIBRARY, folder / "library")
    Desk.file = folder / "desk.sqlite"
    TestSupport.settings = {"desk_file": str(Desk.file)}
    TestLibrary.settings = {"library_dir": str(folder / "library")}
