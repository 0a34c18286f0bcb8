"""Dead letters: calls that failed for good and effects that could not be undone, to look at, mend, replay or discard.

A letter of a run under way is replayed within it. The run of any other has ended: the call is made again by a run that
is forked from just before the failure.
"""

from typing import Annotated, Any, Literal

from fairlead_tenants.access import Permission, Principal
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.commit_pages import LAST
from fairlead.api.dead_letter_views import (
    DeadLetter,
    LetterKind,
    LetterStatus,
    Wanted,
    letter_of,
    letters_page,
)
from fairlead.api.guards import requires
from fairlead.api.looking import Looking
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.run_access import LoadedRun, RunPlace, check_run, load_run, place_of_run, role_names
from fairlead.api.runs import Reason
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Rejected
from fairlead.domain.ids import CallId, RunId, parent_id
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import letters
from fairlead.domain.runs.errors import LetterSettled, NoSuchLetter, NoSuchRun
from fairlead.domain.runs.sagas import UNDO_SUFFIX
from fairlead.domain.runs.states import Ended, LetterPhase
from fairlead.domain.runs.undoing import Undo

LIST = "dead_letters"


class UndoNotEditable(Rejected):
    """What is undone is what was done: its arguments are facts."""

    code = "undo_not_editable"


class Edit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments as a whole; what is `[sensitive]` in them stays as it is. They must fit the tool's schema, and
    policy must not deny them."""

    arguments: dict[str, Any]
    reason: Reason


class Replay(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without a `key` the call keeps its own, so a counterpart that honours keys does nothing twice; edited arguments
    need a new one. A run that has ended is forked, which always is a new key."""

    reason: Reason
    key: Annotated[Literal["same", "new"], Meta(description="Which idempotency key the call is made under.")] | None = (
        None
    )


class Discard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason


class LetterAnswer(Struct, frozen=True, kw_only=True):
    """Where a letter stands now. `as_run_id`: the run that makes the call again, where the letter's own has ended."""

    letter_id: str
    run_id: RunId
    status: LetterStatus
    as_run_id: RunId | None
    sequence: int


class DeadLetterController(Controller):
    path = "/v1/dead-letters"
    tags = ("Dead letters",)

    @get("/", opt=requires(Permission.RUN_READ, "run_board", "dead_letters"))
    async def list_dead_letters(
        self,
        principal: NamedDependency[Principal],
        looking: NamedDependency[Looking],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        status: Annotated[LetterStatus | None, QueryParameter(name="status")] = None,
        kind: Annotated[LetterKind | None, QueryParameter(name="kind")] = None,
        code: Annotated[str | None, QueryParameter(name="code", max_length=100, description="Of the failure.")] = None,
        run: Annotated[str | None, QueryParameter(name="run_id", max_length=64)] = None,
        tool: Annotated[str | None, QueryParameter(name="tool", max_length=128)] = None,
        workflow: Annotated[str | None, QueryParameter(name="workflow_id", max_length=64)] = None,
        workspace: Annotated[str | None, QueryParameter(name="workspace_id", max_length=64)] = None,
    ) -> Page[DeadLetter]:
        """Letters that the principal may see, newest failure first."""
        wanted = Wanted(
            within=looking.within(Permission.RUN_READ).narrowed(workspace),
            limit=limit + 1,
            below=after(cursor, LIST, principal.tenant_id, str),
            status=status,
            kind=kind,
            code=code,
            run=run,
            tool=tool,
            workflow=workflow,
        )
        async with looking.sight.database.read(principal.tenant_id) as tx:
            found = await letters_page(tx, wanted, LAST)
        placed = page(found, limit, LIST, principal.tenant_id, lambda each: each.place)
        return Page([each.letter for each in placed.items], placed.next_cursor)

    @get("/{letter_id:str}", opt=requires(Permission.RUN_READ, "run_board", "dead_letters"))
    async def get_dead_letter(
        self, letter_id: FromPath[str], principal: NamedDependency[Principal], looking: NamedDependency[Looking]
    ) -> DeadLetter:
        """What failed, why, and what has become of it."""
        async with looking.sight.database.read(principal.tenant_id) as tx:
            found = await letter_of(tx, letter_id)
        if found is None:
            raise NoSuchLetter("no such dead letter")
        place = RunPlace(found.workspace_id, found.environment_id)
        _check(principal, Permission.RUN_READ, place)
        looking.check(place)
        return found

    @post("/{letter_id:str}/edit", status_code=200, opt=requires(Permission.RUN_REPAIR))
    async def edit_dead_letter(
        self,
        letter_id: FromPath[str],
        data: JSONBody[Edit],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> LetterAnswer:
        """Give the call other arguments. Nothing is made yet."""
        run, call_id = await _load(parts, act.principal, letter_id)
        if call_id != letter_id:
            raise UndoNotEditable("what is undone is what was done")
        edit = c.EditLetter(call_id=call_id, arguments=data.arguments, reason=data.reason, now=parts.clock.now())
        return await _told(act, run, edit, call_id)

    @post("/{letter_id:str}/replay", status_code=200, opt=requires(Permission.RUN_REPAIR))
    async def replay_dead_letter(
        self,
        letter_id: FromPath[str],
        data: JSONBody[Replay],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> LetterAnswer:
        """Make the call again, judged and checked like any other. Asked twice, it is made once."""
        run, call_id = await _load(parts, act.principal, letter_id)
        if call_id != letter_id:
            return await _decide_undo(act, parts, run, letter_id, {"decision": "retry", "reason": data.reason})
        if isinstance(run.state, Ended):
            return await _replay_as_run(act, parts, run, call_id, data)
        replay = c.ReplayLetter(call_id=call_id, reason=data.reason, key=data.key, now=parts.clock.now())
        return await _told(act, run, replay, call_id)

    @post("/{letter_id:str}/discard", status_code=200, opt=requires(Permission.RUN_REPAIR))
    async def discard_dead_letter(
        self,
        letter_id: FromPath[str],
        data: JSONBody[Discard],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> LetterAnswer:
        """Nobody needs to look at it any more. An effect that could not be undone is left as it is."""
        run, call_id = await _load(parts, act.principal, letter_id)
        if call_id != letter_id:
            return await _decide_undo(act, parts, run, letter_id, {"decision": "leave", "reason": data.reason})
        discard = c.DiscardLetter(call_id=call_id, reason=data.reason, now=parts.clock.now())
        return await _told(act, run, discard, call_id)


async def _load(parts: ApiParts, principal: Principal, letter_id: str) -> tuple[LoadedRun, CallId]:
    """The run and the call that the letter is of, as of now. Raises NoSuchLetter, Denied."""
    call_id = CallId(letter_id.removesuffix(UNDO_SUFFIX))
    try:
        run = await load_run(parts, principal, parent_id("run", call_id), Permission.RUN_REPAIR)
    except NoSuchRun:
        raise NoSuchLetter("no such dead letter") from None
    return run, call_id


def _check(principal: Principal, needed: Permission, place: RunPlace) -> None:
    try:
        check_run(principal, needed, place)
    except NoSuchRun:
        raise NoSuchLetter("no such dead letter") from None


async def _told(act: Act, run: LoadedRun, command: c.RunCommand, call_id: CallId) -> LetterAnswer:
    handled = await act.handle(run.stream, command)
    letter = letters.letter_of(handled.state, call_id)
    return _answer(run, call_id, letter.phase, handled.sequence, letter.as_run)


async def _replay_as_run(act: Act, parts: ApiParts, run: LoadedRun, call_id: CallId, data: Replay) -> LetterAnswer:
    """What the run's own history says comes first, so that of several who ask one run is made."""
    check_run(act.principal, Permission.RUN_FORK, place_of_run(run.run))
    child = letters.letter_of(run.state, call_id).as_run or RunId(act.new_id("run"))
    fork = await parts.starter.fork_to_replay(act.principal, run.stream, call_id, child, data.reason)
    replay = c.ReplayLetter(call_id=call_id, reason=data.reason, now=parts.clock.now(), as_run=child)
    answer = await _told(act, run, replay, call_id)
    if answer.as_run_id != child:  # somebody else was first
        fork = await parts.starter.fork_to_replay(act.principal, run.stream, call_id, _made(answer), data.reason)
    await act.handle(StreamRef(act.tenant_id, "run", fork.run_id), fork, "fork")
    return answer


def _made(answer: LetterAnswer) -> RunId:
    assert answer.as_run_id is not None, "the letter is replayed as a run"
    return answer.as_run_id


async def _decide_undo(act: Act, parts: ApiParts, run: LoadedRun, letter_id: str, said: Any) -> LetterAnswer:
    """The letter is the question that the run asks about an effect. Raises LetterSettled where it asks it no more."""
    undo = _undo_of(run, letter_id)
    if undo is None or undo.question_id is None:
        raise LetterSettled("the effect is gone, left as it is, or being undone")
    answer = c.AnswerQuestion(
        question_id=undo.question_id,
        answer=said,
        principal_id=act.principal.principal_id,
        role_names=role_names(act.principal, place_of_run(run.run)),
        now=parts.clock.now(),
    )
    handled = await act.handle(run.stream, answer)
    status: LetterPhase = "replaying" if said["decision"] == "retry" else "discarded"
    return _answer(run, letter_id, status, handled.sequence, None)


def _undo_of(run: LoadedRun, letter_id: str) -> Undo | None:
    """Raises NoSuchLetter for an effect that was never to be undone."""
    undoing = run.state.undoing if isinstance(run.state, Ended) else None
    call_id = CallId(letter_id.removesuffix(UNDO_SUFFIX))
    if undoing is None or call_id not in {undo.call_id for undo in undoing.queue} | undoing.gone | undoing.left:
        raise NoSuchLetter("no such dead letter")
    head = undoing.head
    return head if head is not None and head.call_id == call_id and head.phase == "with_person" else None


def _answer(run: LoadedRun, letter_id: str, status: LetterPhase, sequence: int, as_run: RunId | None) -> LetterAnswer:
    return LetterAnswer(
        letter_id=letter_id, run_id=RunId(run.stream.id), status=status, as_run_id=as_run, sequence=sequence
    )
