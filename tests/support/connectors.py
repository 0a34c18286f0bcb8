"""Connectors for tests: complete by default, so that a test says only what is wrong with one."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import fairlead_sdk
import pytest
from fairlead_sdk import Call, Effect, Idempotency, Manifest, Tool
from fairlead_sdk.hookspecs import ENTRY_POINT_GROUP, Register
from msgspec import Struct

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.memory_results import MemoryResults
from fairlead.adapters.plugins import Connectors
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.handling.tenant_tools import TenantTools
from fairlead.workers.remembering import Remembering
from tests.support.clock import ManualClock


class Bill(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    number: str
    amount: int


async def pay(arguments: Bill, call: Call) -> Bill:
    return arguments


def tool(name: str = "bills.pay", **fields: Any) -> Tool[Any, Any]:
    complete: dict[str, Any] = {
        "title": f"Title of {name}",
        "description": f"What {name} does.",
        "input": Bill,
        "output": Bill,
        "run": pay,
        "effect": Effect.WRITE,
        "idempotency": Idempotency.KEY,
        "writes": ("payment",),
    }
    return Tool(name=name, **(complete | fields))


def manifest(*tools: Tool[Any, Any], **fields: Any) -> Manifest:
    complete: dict[str, Any] = {"name": "bills", "title": "Bills", "version": "1.2.3", "tools": tools or (tool(),)}
    return Manifest(**(complete | fields))


class BillsConnector:
    def __init__(self, said: Manifest) -> None:
        self.manifest = said


def known(connectors: Connectors) -> TenantTools:
    """To tenants that have imported nothing."""
    return TenantTools(MemoryLog(Codec(EVENTS, UPCASTERS)), connectors, ManualClock())


def remembering() -> Remembering:
    return Remembering(MemoryResults(), ManualClock())


Install = Callable[..., EntryPoint]


def installer(monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(name, hook)` makes a module whose `register_connectors` is `hook`, and its entry point."""

    def install(name: str, hook: Callable[[Register], None], hook_name: str = "register_connectors") -> EntryPoint:
        module = ModuleType(f"fairlead_test_{name}")
        setattr(module, hook_name, fairlead_sdk.hookimpl(hook))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name=name, value=module.__name__, group=ENTRY_POINT_GROUP)

    return install
