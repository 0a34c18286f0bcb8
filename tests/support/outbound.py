"""Short ways to ask through the guarded way out, and to look at what it raises."""

from collections.abc import Awaitable
from typing import Any

import pytest
from fairlead_sdk.errors import ToolError

from fairlead.ports import WayOut
from tests.support.flaky_http import FlakyServer

SECRET = "sk_a-secret-that-nobody-sees"


def way(server: FlakyServer, **changed: Any) -> WayOut:
    return WayOut(**{"owner": "con_a", "egress": (server.authority,), "timeout_s": 5.0, **changed})


async def met(asking: Awaitable[Any]) -> ToolError:
    with pytest.raises(ToolError) as raised:
        await asking
    return raised.value
