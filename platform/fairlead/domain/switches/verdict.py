"""What the switches that are on mean for one thing that is about to happen. Pure, and cheap enough for every call.

| mode | runs begin | a run's calls | a call that writes | previews | read-back | undoing |
|---|---|---|---|---|---|---|
| `stop_starts` | refused | go on | goes on | go on | goes on | goes on |
| `pause_runs` | refused | the run pauses | the run pauses | wait | goes on | waits |
| `deny_writes` | go on | go on | is denied | go on | goes on | waits |
| `deny_all` | refused | are denied | is denied | wait | waits | waits |

Undoing is a write too: in an incident nobody wants another. It is never denied, which would leave an effect for people
to clear up, but goes on by itself when the switch is released. Where both a pause and a denial are on, the run pauses:
what is paused can still be denied.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.ids import WorkflowId
from fairlead.domain.instant import Instant
from fairlead.domain.switches.board import Board, Mode, On
from fairlead.domain.tools import connector_of

Doing = Literal["start", "call", "preview", "verify", "compensate"]
Answer = Literal["refuse", "pause", "deny", "wait"]
Boards = Mapping[TenantId, Board]


class Where(Struct, frozen=True):
    """The place of a run, and the tool that is about to be called; empty where none is."""

    tenant_id: TenantId
    environment_id: EnvironmentId
    workspace_id: WorkspaceId
    workflow_id: WorkflowId
    tool: str = ""


class Stop(Struct, frozen=True, kw_only=True):
    """Not now, or not at all. `switch` is the target's id; `by_installation`: it is not the tenant's own."""

    answer: Answer
    mode: Mode
    switch: str
    reason: str
    by_installation: bool


_ANSWERS: Mapping[Doing, Mapping[Mode, Answer]] = {
    "start": {"stop_starts": "refuse", "pause_runs": "refuse", "deny_all": "refuse"},
    "call": {"pause_runs": "pause", "deny_all": "deny", "deny_writes": "deny"},
    "preview": {"pause_runs": "wait", "deny_all": "wait"},
    "verify": {"deny_all": "wait"},
    "compensate": {"pause_runs": "wait", "deny_writes": "wait", "deny_all": "wait"},
}


def stop_of(doing: Doing, effect: Effect, where: Where, boards: Boards, now: Instant) -> Stop | None:
    """The strongest of what stops it; None: it may be done."""
    if not boards:
        return None
    answers, found = _ANSWERS[doing], list(_on(where, boards, now))
    for mode, answer in answers.items():  # in the order of the table above: the one that loses least comes first
        if mode == "deny_writes" and doing == "call" and effect is Effect.READ:
            continue
        for by_installation, switch in found:
            if mode in switch.modes:
                return Stop(
                    answer=answer,
                    mode=mode,
                    switch=switch.target.id,
                    reason=switch.reason,
                    by_installation=by_installation,
                )
    return None


def _on(where: Where, boards: Boards, now: Instant) -> Iterable[tuple[bool, On]]:
    for holder in (INSTALLATION, where.tenant_id):
        board = boards.get(holder)
        if board is not None and board.on:
            named = _names(where)
            for switch in board.on.values():
                if switch.target.id in named and switch.counts(now):
                    yield holder == INSTALLATION, switch


def _names(where: Where) -> frozenset[str]:
    """Every target that holds this place. The scopes of a tenant's own board are all within that tenant."""
    names = {
        "installation",
        f"tenant:{where.tenant_id}",
        f"environment:{where.environment_id}",
        f"workspace:{where.workspace_id}",
        f"workflow:{where.workflow_id}",
    }
    if where.tool:
        names |= {f"tool:{where.tool}", f"connector:{connector_of(where.tool)}"}
    return frozenset(names)
