"""Reading back after a write: how far what is there is from what the tool said, and what follows from it."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from fairlead.domain.canonical import canonical, canonical_sha256
from fairlead.domain.ids import QuestionId, child_id
from fairlead.domain.policy.obligations import fulfilled
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import Unfolding
from fairlead.domain.runs.states import Active, OpenCall

MAX_CHANGES = 50
MAX_VALUE_BYTES = 1_024
MAX_REASON = 500
MISMATCH_ANSWER = {
    "type": "object",
    "properties": {"decision": {"enum": ["keep", "fail"]}, "output": {}},
    "required": ["decision"],
    "additionalProperties": False,
}


def record_verdict(command: c.RecordVerdict, run: Unfolding) -> None:
    """Whatever it is, it is on record; only a difference stands in the run's way, if the document says so."""
    state = run.state
    call = state.calls.get(command.call_id) if isinstance(state, Active) else None
    if call is None or call.phase != "verifying":
        return
    verified = _verdict(command, call)
    run.add(verified)
    if verified.verdict == "drifted":
        _report(call, verified, run)


def mismatch_failed(step: str) -> e.RunFailed:
    message = "what was read back after a write is not what the tool said"
    return e.RunFailed(code="readback_mismatch", message=message, step=step)


def as_recorded(call: OpenCall, found: Any) -> Any:
    """What was read back, as it would stand in the record."""
    return redact(fulfilled(call.obligations, found))[0]


def difference(said: Any, found: Any) -> tuple[e.Change, ...]:
    """RFC 6902 from one to the other, at most MAX_CHANGES. Numbers are compared by value, as JSON has them."""
    changes = _changes("", said, found)
    return tuple(change for change, _ in zip(changes, range(MAX_CHANGES), strict=False))


def _verdict(command: c.RecordVerdict, call: OpenCall) -> e.ToolCallVerified:
    seen = command.seen
    changes = difference(call.output, as_recorded(call, seen.found)) if isinstance(seen, c.ReadBack) else ()
    verified = e.ToolCallVerified(
        call_id=command.call_id,
        verdict="drifted" if changes else "matched",
        latency_us=command.latency_us,
        worker=command.worker,
        difference=changes,
    )
    if isinstance(seen, c.CannotTell):
        return replace(verified, verdict="unverifiable", reason=redact_text(seen.reason)[:MAX_REASON])
    return verified


def _report(call: OpenCall, verified: e.ToolCallVerified, run: Unfolding) -> None:
    request = call.request
    message = f"{request.tool} said that it was done, and {_found(verified.difference)}"
    incident = e.IncidentReported(
        kind="readback_drifted", call_id=call.request.call_id, step=request.step, message=message
    )
    run.add(incident)
    match request.on_mismatch:
        case "ask":
            run.add(_question(call, message, run))
        case "compensate":
            run.add(mismatch_failed(request.step))
        case "continue":
            pass


def _found(changes: tuple[e.Change, ...]) -> str:
    if changes == (e.Change(op="replace", path=""),):
        return "no effect was read back"
    return f"something else was read back, at {', '.join(change.path or '/' for change in changes[:5])}"


def _question(call: OpenCall, message: str, run: Unfolding) -> e.QuestionAsked:
    state = run.active
    return e.QuestionAsked(
        question_id=QuestionId(child_id("qst", state.run_id, state.numbered + 1)),
        purpose="mismatch",
        step=call.request.step,
        question=f"{message}. Keep it and go on, or fail the run?",
        schema=MISMATCH_ANSWER,
    )


def _changes(path: str, said: Any, found: Any) -> Iterator[e.Change]:
    match said, found:
        case dict(), dict():
            for name in sorted(said.keys() | found.keys()):
                yield from _member(f"{path}/{_step(name)}", name, said, found)
        case list(), list():
            for place, (one, other) in enumerate(zip(said, found, strict=False)):
                yield from _changes(f"{path}/{place}", one, other)
            for place in range(len(said) - 1, len(found) - 1, -1):  # from the end: places stay what they are
                yield e.Change(op="remove", path=f"{path}/{place}")
            for place in range(len(said), len(found)):
                yield e.Change(op="add", path=f"{path}/{place}", value=_shown(found[place]))
        case _ if canonical(said) != canonical(found):
            yield e.Change(op="replace", path=path, value=_shown(found))


def _member(path: str, name: str, said: dict[str, Any], found: dict[str, Any]) -> Iterator[e.Change]:
    if name not in found:
        yield e.Change(op="remove", path=path)
    elif name not in said:
        yield e.Change(op="add", path=path, value=_shown(found[name]))
    else:
        yield from _changes(path, said[name], found[name])


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _shown(value: Any) -> Any:
    size_bytes = len(msgspec.json.encode(value))
    return value if size_bytes <= MAX_VALUE_BYTES else {"sha256": canonical_sha256(value), "size_bytes": size_bytes}
