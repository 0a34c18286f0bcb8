"""What a connector is tried for. Each check says what it finds wrong, in words for its author."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, NoReturn

from fairlead_sdk.auth import AuthKind
from fairlead_sdk.contract import Call, Effect, Idempotency, Tool
from fairlead_sdk.errors import BadArguments, NeedsReconnect, OutcomeUnknown, Refused, ToolError, TryLater
from fairlead_sdk.outbound import HttpAnswer
from fairlead_sdk.testing.counterpart import Request
from fairlead_sdk.testing.trial import PLANTED, Findings, Trial, output_problems, plain_of, trial

PATIENCE_S = 0.1  # after which a call is cancelled
GRACE_S = 1.0  # in which it has to be over then
PAUSE_S = 7  # asked for by a counterpart that is busy
STATUSES = (400, 401, 403, 404, 409, 422, 429, 500, 502, 503)

_KEY, _OTHER_KEY, _UNDO_KEY = "key-1", "key-2", "key-undo"
_NOTHING_HAPPENED = (TryLater, Refused, BadArguments, NeedsReconnect)


async def answers(trial: Trial) -> Findings:
    """The example works, and its output fits."""
    return [f"output {problem}" for problem in output_problems(trial.tool, await trial.run(trial.call(_KEY)))]


async def honest(trial: Trial) -> Findings:
    """A read changes nothing; an example of a write shows what it changes."""
    async with _watched(trial) as changed:
        await trial.run(trial.call(_KEY))
    if trial.tool.effect is Effect.READ:
        return ["is declared a read and changes something"] if changed else []
    return [] if changed else ["its example changes nothing: nothing can be shown with it"]


async def repeats(trial: Trial) -> Findings:
    """What makes a repeated call harmless does so."""
    by_key = trial.tool.idempotency is Idempotency.KEY
    first = await trial.run(trial.call(_KEY))
    async with _watched(trial) as changed:
        second = await trial.run(trial.call(_KEY if by_key else _OTHER_KEY, attempt=2))
    if changed:
        return [f"a second call {'under the same key' if by_key else 'to the same end'} has a second effect"]
    if by_key and plain_of(first) != plain_of(second):
        return ["a second call under the same key has another output"]
    return []


async def survives_lost_answers(trial: Trial) -> Findings:
    """A write whose answer was lost does not say that nothing happened, and is done once when asked again."""
    found: Findings = []
    error = await _error(trial, trial.call(_KEY, lose=True))
    if isinstance(error, _NOTHING_HAPPENED):
        found.append(f"says {type(error).__name__}, nothing happened, when the answer to its effect was lost")
    if not trial.https[-1].lost or trial.tool.idempotency is Idempotency.NONE:
        return found
    after_loss = await trial.state()
    await trial.run(trial.call(_KEY, attempt=2))
    if await trial.state() not in (after_loss, await _clean_state(trial)):
        found.append("asked again after a lost answer it has a second effect")
    return found


async def reads_back(trial: Trial) -> Findings:
    """`verify` finds nothing before the effect, finds it afterwards, and changes nothing."""
    verify, arguments = trial.tool.verify, trial.arguments
    assert verify is not None, "see APPLIES"
    found: Findings = []
    async with _watched(trial) as changed:
        if trial.tool.effect is not Effect.READ and await verify(arguments, trial.call(_KEY)) is not None:
            found.append("verify finds an effect that has not happened")
    output = await trial.run(trial.call(_KEY))
    async with _watched(trial) as changed_then:
        seen = await verify(arguments, trial.call(_KEY, attempt=2))
    if changed or changed_then:
        found.append("verify changes something")
    if seen is None:
        found.append("verify does not find the effect")
    elif plain_of(seen) != plain_of(output):
        found.append("verify gives something else than the call itself gave")
    return found


async def compensates(trial: Trial) -> Findings:
    """`compensate` brings back what was there before, also when it is asked twice."""
    compensate, arguments = trial.tool.compensate, trial.arguments
    assert compensate is not None, "see APPLIES"
    before = await trial.state()
    output = await trial.run(trial.call(_KEY))
    await compensate(arguments, output, trial.call(_UNDO_KEY))
    if await trial.state() != before:
        return ["compensate does not bring back what was there before"]
    await compensate(arguments, output, trial.call(_UNDO_KEY, attempt=2))
    return [] if await trial.state() == before else ["compensate does harm when it is asked twice"]


async def previews(trial: Trial) -> Findings:
    """`preview` touches nothing and shows an object."""
    assert trial.tool.preview is not None, "see APPLIES"
    async with _watched(trial) as changed:
        shown = await trial.tool.preview(trial.arguments, trial.call(_KEY))
    found = ["preview changes something"] if changed else []
    if not isinstance(plain_of(shown), dict):
        found.append("preview shows no object")
    return found


async def batches(trial: Trial) -> Findings:
    """`run_many` answers every call, in order."""
    run_many = trial.tool.run_many
    assert run_many is not None, "see APPLIES"
    keys = [f"key-{number}" for number in range(min(trial.tool.max_batch, 3))]
    calls: list[Call] = [trial.call(key) for key in keys]
    outputs = await run_many([trial.arguments] * len(calls), calls)
    if len(outputs) != len(calls):
        return [f"run_many gives {len(outputs)} answers to {len(calls)} calls"]
    kept = [output for output in outputs if not isinstance(output, Exception)]
    if not kept:
        return ["run_many fails every call of the example"]
    return [f"run_many's output {problem}" for output in kept for problem in output_problems(trial.tool, output)]


async def keeps_secrets(trial: Trial) -> Findings:
    """What was planted turns up in no output, error, log or print, even where the counterpart repeats it."""
    planted = (PLANTED, *trial.subject.secrets)
    said: list[tuple[str, str]] = []
    with _overheard() as overheard:
        if trial.tool.preview:
            said.append(("its preview", str(plain_of(await trial.tool.preview(trial.arguments, trial.call(_KEY))))))
        said.append(("its output", str(plain_of(await trial.run(trial.call(_KEY))))))
        for status in (200, *STATUSES):
            error = await _error(trial, trial.call(f"key-{status}", answer=_echoing(status)))
            said.append((f"its error on a status of {status}", _shown(error)))
    said.append(("what it prints or logs", overheard.getvalue()))
    return [f"{place} holds a secret" for place, text in said if any(secret in text for secret in planted)]


async def says_what_to_do_next(trial: Trial) -> Findings:
    """Whatever the counterpart answers becomes an output or one of the SDK's errors, and the right one where it is
    plain which."""
    found: Findings = []
    for status in STATUSES:
        asked: list[Request] = []
        error = await _error(trial, trial.call(f"key-{status}", answer=_saying(status, asked)))
        if not asked:
            return found  # it speaks to nobody
        if error is not None and not isinstance(error, ToolError):
            found.append(f"raises {type(error).__name__} on a status of {status}: say TryLater, Refused, …")
        if status == 401 and trial.manifest.auth.kind is not AuthKind.NONE and not isinstance(error, NeedsReconnect):
            found.append("does not say NeedsReconnect when its credential is refused (401)")
        if status == 429 and not (isinstance(error, TryLater) and error.retry_after_s == PAUSE_S):
            found.append("does not say TryLater with the pause that is asked for (429, Retry-After)")
    return found


async def ends_in_time(trial: Trial) -> Findings:
    """When its time is over a call is over, and leaves nothing running."""
    before = asyncio.all_tasks()
    task = asyncio.create_task(_running(trial.tool.run(trial.arguments, trial.call(_KEY, answer=_never))))
    await asyncio.wait([task], timeout=PATIENCE_S)
    was_waiting = not task.done()
    task.cancel()
    await asyncio.wait([task], timeout=GRACE_S)
    if not task.done():
        return ["goes on after its time is over"]
    if was_waiting and not task.cancelled() and not isinstance(task.exception(), OutcomeUnknown):
        return ["keeps the end of its time to itself: let the cancelling through"]
    left = () if trial.subject.shipped else asyncio.all_tasks() - before - {task}
    return ["leaves work running when its time is over"] if left else []


async def stays_inside(trial: Trial) -> Findings:
    """Requests go to declared hosts, through the way out that it is given."""
    with suppress(Refused):  # the way out says so when a host is not declared
        await _every_part(trial)
    return [f"tries to reach {url}, which is not declared" for http in trial.https for url in http.denied]


def _writes(tool: Tool[Any, Any]) -> bool:
    return tool.effect is not Effect.READ


# Where a check has something to look at; elsewhere it is not made.
APPLIES: Mapping[Any, Callable[[Tool[Any, Any]], bool]] = {
    repeats: lambda tool: _writes(tool) and tool.idempotency is not Idempotency.NONE,
    survives_lost_answers: _writes,
    reads_back: lambda tool: tool.verify is not None,
    compensates: lambda tool: tool.compensate is not None,
    previews: lambda tool: tool.preview is not None,
    batches: lambda tool: tool.run_many is not None,
}


async def _every_part(trial: Trial) -> None:
    tool, arguments = trial.tool, trial.arguments
    if tool.preview:
        await tool.preview(arguments, trial.call(_KEY))
    output = await trial.run(trial.call(_KEY))
    if tool.verify:
        await tool.verify(arguments, trial.call(_KEY))
    if tool.compensate:
        await tool.compensate(arguments, output, trial.call(_UNDO_KEY))


async def _clean_state(tried: Trial) -> Any:
    """As it is when nothing was lost."""
    async with trial(tried.subject, tried.example) as clean:
        await clean.run(clean.call(_KEY))
        return await clean.state()


@asynccontextmanager
async def _watched(trial: Trial) -> AsyncIterator[list[str]]:
    """Not empty afterwards if something was changed meanwhile."""
    changed: list[str] = []
    before = await trial.state()
    yield changed
    if await trial.state() != before:
        changed.append("state")


@contextmanager
def _overheard() -> Iterator[io.StringIO]:
    heard = io.StringIO()
    handler, root = logging.StreamHandler(heard), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with redirect_stdout(heard), redirect_stderr(heard):
            yield heard
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


async def _error(trial: Trial, call: Call) -> Exception | None:
    try:
        await trial.run(call)
    except Exception as error:  # noqa: BLE001  # what it is, is the question
        return error
    return None


def _shown(error: Exception | None) -> str:
    return "" if error is None else f"{error} {error.args} {getattr(error, 'code', '')}"


def _echoing(status: int) -> Callable[[Request], Awaitable[HttpAnswer]]:
    async def answer(request: Request) -> HttpAnswer:
        body = f"{request.url} {dict(request.headers)} {request.body.decode(errors='replace')}".encode()
        return HttpAnswer(status=status, headers={"x-request": str(dict(request.headers))}, body=body)

    return answer


def _saying(status: int, asked: list[Request]) -> Callable[[Request], Awaitable[HttpAnswer]]:
    async def answer(request: Request) -> HttpAnswer:
        asked.append(request)
        headers = {"content-type": "application/json", "retry-after": str(PAUSE_S)}
        return HttpAnswer(status=status, headers=headers, body=b'{"error": "no"}')

    return answer


async def _running(call: Awaitable[Any]) -> Any:
    return await call


async def _never(_request: Request) -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError
