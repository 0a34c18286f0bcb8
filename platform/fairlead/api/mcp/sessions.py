"""Which run a client drives.

A session of the handshake era is a run: its id names the run, bound to the key that began it, so any process can serve
it and there is nothing to keep or to steal. Requests of the stateless era go on with the run under way of the same key,
workflow and name of a session, and begin the next one when that has ended.
"""

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec
from fairlead_tenants.ids import ID_BODY_LENGTH, base32
from msgspec import Struct

from fairlead.api.acting import Act
from fairlead.api.asked_calls import load_driven
from fairlead.api.bodies import decoded
from fairlead.api.mcp.messages import INVALID_PARAMS, INVALID_REQUEST, RpcError
from fairlead.api.parts import ApiParts
from fairlead.api.problems import MalformedBody, Overloaded, TryAgain
from fairlead.api.run_access import LoadedRun
from fairlead.api.workflows import named_workspace
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Invalid, NotFound
from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.redaction import redact_text
from fairlead.domain.runs.errors import RunNotActive
from fairlead.domain.runs.outside import PLANNER
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import Active, Ended, NotStarted
from fairlead.domain.workflows import workflow_id
from fairlead.handling.starting import Asked

WORKFLOW = "fairlead-workflow"
WORKSPACE = "fairlead-workspace"
RUN = "fairlead-run"
INPUT = "fairlead-input"
SESSION = "fairlead-session"
SESSION_ID = "mcp-session-id"
DOOR_LABEL, SESSION_LABEL, CLIENT_LABEL = "fairlead.door", "fairlead.session", "mcp.client"
MAX_NAME = 200
MAX_INPUT_BYTES = 6 * 1024
MAX_SESSIONS = 100  # runs under way of one principal that clients of this door began
MAX_AHEAD = 64
KEPT_SESSIONS = 10_000
_SEAL_LENGTH = 52

_OPEN = """
SELECT count(*) AS count
  FROM (SELECT 1
          FROM run_board
          JOIN run_labels AS l USING (tenant_id, run_id, started_sequence)
         WHERE l.key = %(key)s AND l.value = %(value)s AND started_by = %(who)s AND outcome IS NULL
         LIMIT %(most)s) AS open
"""
_NEWEST = """
SELECT run_id FROM run_labels WHERE key = %(key)s AND value = %(value)s ORDER BY started_sequence DESC LIMIT 1
"""


class TooManySessions(Overloaded):
    """The principal has as many runs under way through the MCP door as it may: end some."""

    code = "too_many_sessions"


class Driven(Struct, frozen=True, kw_only=True):
    """A run under way, and what decides about it. `owned`: the session began it, and ends it."""

    stream: StreamRef
    run: Active
    rules: WorkflowRules
    owned: bool


class _Count(Struct, frozen=True):
    count: int


class _RunId(Struct, frozen=True):
    run_id: RunId


class Sessions:
    """One for an application. What it keeps only saves looking."""

    def __init__(self) -> None:
        self._newest: OrderedDict[bytes, RunId] = OrderedDict()
        self._leaving = set[asyncio.Task[None]]()

    def afterwards(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it though the client that it is about has gone, and its request with it."""
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # --- the handshake era ------------------------------------------------------------------------------------------

    async def begin(self, act: Act, parts: ApiParts, headers: Mapping[str, str], client: str) -> tuple[str, Driven]:
        """The session's id and its run: the one that a header names, or a new one."""
        if (named := headers.get(RUN)) is not None:
            driven = await under_way(act, parts, named, owned=False)
            return self.session_id(act, parts, driven), driven
        await _check_room(act, parts)
        found = workflow_of(act, headers)
        run_id, labels = RunId(act.new_id("run")), {DOOR_LABEL: "mcp"}
        if client:
            labels[CLIENT_LABEL] = redact_text(client)[:MAX_NAME]
        await _start(act, parts, headers, Asked(run_id=run_id, workflow_id=found, input=None, labels=labels))
        driven = await under_way(act, parts, run_id, owned=True)
        return self.session_id(act, parts, driven), driven

    def session_id(self, act: Act, parts: ApiParts, driven: Driven) -> str:
        kind = "o" if driven.owned else "b"
        body = driven.stream.id.partition("_")[2]
        return f"mcps_{kind}{body}_{_seal(act, parts, kind, driven.stream.id)}"

    async def of(self, act: Act, parts: ApiParts, headers: Mapping[str, str]) -> Driven:
        """Raises RpcError: 400 without a session, 404 for one that has ended, is somebody else's, or never was."""
        run_id, owned = self.named(act, parts, headers)
        try:
            return await under_way(act, parts, run_id, owned=owned)
        except (NotFound, RunNotActive):
            raise _gone() from None

    def named(self, act: Act, parts: ApiParts, headers: Mapping[str, str]) -> tuple[RunId, bool]:
        """The run of the request's session, whether it is under way or not, and whether the session began it."""
        session = headers.get(SESSION_ID)
        if session is None:
            raise RpcError(INVALID_REQUEST, "there is no session yet: begin with initialize", http_status=400)
        prefix, _, rest = session.partition("_")
        body, _, seal = rest.partition("_")
        kind, run_id = body[:1], RunId(f"run_{body[1:]}")
        known = prefix == "mcps" and kind in ("o", "b") and len(session) <= MAX_NAME and session.isascii()
        if not known or not hmac.compare_digest(seal, _seal(act, parts, kind, run_id)):
            raise _gone()
        return run_id, kind == "o"

    # --- the stateless era ------------------------------------------------------------------------------------------

    async def current(
        self, act: Act, parts: ApiParts, headers: Mapping[str, str], client: str, door: str = "mcp"
    ) -> Driven:
        """The run that a request names, or the one under way of its session, which begins if there is none. Requests
        of all doors meet in it."""
        if (named := headers.get(RUN)) is not None:
            return await under_way(act, parts, named, owned=False)
        found = workflow_of(act, headers)
        tag = _tag(act, parts, found, headers.get(SESSION, ""))
        run_id = self._newest.get(tag) or await _newest(act, parts, tag) or _following(tag, "")
        for _ in range(MAX_AHEAD):
            state = (await parts.handler.load(StreamRef(act.tenant_id, "run", run_id))).state
            if isinstance(state, NotStarted):
                labels = {DOOR_LABEL: door, SESSION_LABEL: tag.hex()}
                if client:
                    labels[CLIENT_LABEL] = redact_text(client)[:MAX_NAME]
                await _check_room(act, parts, door)
                await _start(act, parts, headers, Asked(run_id=run_id, workflow_id=found, input=None, labels=labels))
            if isinstance(state, NotStarted | Active):
                self._remember(tag, run_id)
                return await under_way(act, parts, run_id, owned=True)
            run_id = _following(tag, run_id)
        raise TryAgain("runs of this session end faster than they are listed")

    def _remember(self, tag: bytes, run_id: RunId) -> None:
        self._newest[tag] = run_id
        self._newest.move_to_end(tag)
        if len(self._newest) > KEPT_SESSIONS:
            self._newest.popitem(last=False)


async def under_way(act: Act, parts: ApiParts, run_id: str, *, owned: bool) -> Driven:
    """Raises NoSuchRun, RunNotActive, Denied, RpcError for a run that nobody drives from outside."""
    found, rules = await _driven(act, parts, run_id)
    if isinstance(found.state, Ended):
        raise RunNotActive(found.run.run_id, found.state.outcome)
    return Driven(stream=found.stream, run=found.run, rules=rules, owned=owned)


async def rules_of(act: Act, parts: ApiParts, run_id: str) -> WorkflowRules:
    """Of a run that may have ended: its client may still look. Raises as `under_way` does."""
    return (await _driven(act, parts, run_id))[1]


async def _driven(act: Act, parts: ApiParts, run_id: str) -> tuple[LoadedRun, WorkflowRules]:
    found = await load_driven(parts, act.principal, run_id)
    rules = await parts.rulebook.of_run(found.stream, found.run, act.tenant)
    check_is_driven(rules)
    return found, rules


def check_is_driven(rules: WorkflowRules) -> None:
    if rules.workflow.planner != PLANNER:
        raise RpcError(INVALID_REQUEST, "the workflow is not one with `planner: outside`", http_status=400)


def workflow_of(act: Act, headers: Mapping[str, str]) -> WorkflowId:
    """By id, or by name in a workspace, the default one unless another is named. Raises RpcError, NotFound."""
    named = headers.get(WORKFLOW, "")
    if not 0 < len(named) <= MAX_NAME:
        raise RpcError(INVALID_REQUEST, f"name a workflow in the path or in the header {WORKFLOW}", http_status=400)
    if named.startswith("wfl_"):
        return WorkflowId(named)
    if (workspace := named_workspace(act.tenant, headers.get(WORKSPACE))) is None:
        raise NotFound("no such workflow")
    return workflow_id(act.tenant_id, workspace, named)


async def _start(act: Act, parts: ApiParts, headers: Mapping[str, str], asked: Asked) -> None:
    command = await parts.starter.start(act.principal, msgspec.structs.replace(asked, input=_input(headers)))
    if command.started.planner != PLANNER:
        raise RpcError(INVALID_REQUEST, "the workflow is not one with `planner: outside`", http_status=400)
    await act.handle(StreamRef(act.tenant_id, "run", asked.run_id), command, "start")


def _input(headers: Mapping[str, str]) -> Any:
    sent = headers.get(INPUT, "{}").encode()
    try:
        if len(sent) > MAX_INPUT_BYTES:
            raise MalformedBody("too long")
        return decoded(sent)
    except (MalformedBody, Invalid):
        message = f"the header {INPUT} must be JSON of at most {MAX_INPUT_BYTES} bytes"
        raise RpcError(INVALID_PARAMS, message, http_status=400) from None


async def _check_room(act: Act, parts: ApiParts, door: str = "mcp") -> None:
    wanted = {"key": DOOR_LABEL, "value": door, "who": act.principal.principal_id, "most": MAX_SESSIONS}
    async with parts.database.read(act.tenant_id) as tx:
        found = await tx.row(_OPEN, wanted, _Count)
    if found is not None and found.count >= MAX_SESSIONS:
        raise TooManySessions(f"{MAX_SESSIONS} runs are under way: finish some, or wait for their deadlines", 60)


async def _newest(act: Act, parts: ApiParts, tag: bytes) -> RunId | None:
    async with parts.database.read(act.tenant_id) as tx:
        found = await tx.row(_NEWEST, {"key": SESSION_LABEL, "value": tag.hex()}, _RunId)
    return None if found is None else found.run_id


def _following(tag: bytes, run_id: str) -> RunId:
    """Known to every process without asking, so that two that begin the next run at once begin the same."""
    digest = hmac.digest(tag, run_id.encode(), "sha256")[:16]
    return RunId(f"run_{base32(int.from_bytes(digest, 'big'), ID_BODY_LENGTH)}")


def _tag(act: Act, parts: ApiParts, workflow: WorkflowId, session: str) -> bytes:
    if len(session) > MAX_NAME:
        raise RpcError(INVALID_REQUEST, f"{SESSION} has at most {MAX_NAME} characters", http_status=400)
    return parts.keys.digest(b"\x00".join([b"mcp session", *_who(act), workflow.encode(), session.encode()]))


def _seal(act: Act, parts: ApiParts, kind: str, run_id: str) -> str:
    digest = parts.keys.digest(b"\x00".join([b"mcp session id", *_who(act), kind.encode(), run_id.encode()]))
    return base32(int.from_bytes(digest, "big"), _SEAL_LENGTH)


def _who(act: Act) -> tuple[bytes, bytes, bytes]:
    who = act.principal
    return who.tenant_id.encode(), who.principal_id.encode(), (who.key_id or "").encode()


def _gone() -> RpcError:
    return RpcError(INVALID_REQUEST, "the session has ended: begin with initialize", http_status=404)
