"""Hears on the log how models do, of every process's calls: who answered, how soon, and what was right in the end.

Commits are looked at as they are stored: nothing of their content is opened, and most are passed over unread. What was
verified counts for the model that the run had asked last.
"""

import asyncio
from collections import OrderedDict

import msgspec
import structlog
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.domain.instant import Instant
from fairlead.handling.model_standings import ModelKey, ModelStandings
from fairlead.ports import Clock, LogCopies
from fairlead.ports.log import Copy

LOOKED_BACK = 5_000  # commits, when a process begins
PAUSE_S = 1.0  # what comes meanwhile is heard together
RETRY_S = 1.0
KEPT = 20_000  # runs, and calls under way
OF_MODELS = (
    b'"model_call.requested.v1"',
    b'"model_call.routed.v1"',
    b'"model_call.completed.v1"',
    b'"model_call.attempt_failed.v1"',
)
OF_OUTCOMES = (b'"tool_call.verified.v1"', b'"case.reported.v1"')
# What a provider is not to blame for.
EXCUSED = frozenset({"validation", "content_refused", "context_too_long", "permission", "outage"})
NOT_GOOD_ENOUGH = ("answer_invalid", "low_confidence")
WRONG = frozenset({"wrong_action", "wrong_result"})

_log = structlog.get_logger()


class _Fact(Struct, frozen=True):
    """As much of an event as is heard."""

    type: str
    call_id: str = ""
    provider: str = ""
    model: str = ""
    latency_us: int = 0
    error_class: str = ""
    code: str = ""
    answer_schema_hash: str = ""
    cached: str = ""
    purpose: str = ""
    verdict: str = ""
    label: str = ""
    run_id: str = ""


class _Heard(Struct, frozen=True):
    at: Instant
    events: tuple[_Fact, ...]


_read = msgspec.json.Decoder(_Heard).decode


class ModelHearing:
    """One for each process, which must `run` it."""

    def __init__(self, copies: LogCopies, standings: ModelStandings, clock: Clock) -> None:
        self._copies = copies
        self._standings = standings
        self._clock = clock
        self._routed: OrderedDict[tuple[TenantId, str], ModelKey] = OrderedDict()  # by call
        self._held_to_a_schema: OrderedDict[tuple[TenantId, str], ModelKey] = OrderedDict()  # calls
        self._asked_last: OrderedDict[tuple[TenantId, str], ModelKey] = OrderedDict()

    async def run(self) -> None:
        """Until cancelled. Begins when somebody first asks how a model does."""
        await self._standings.asked.wait()
        after: LogSequence | None = None
        while True:
            try:
                if after is None:
                    after = LogSequence(max(0, await self._copies.last_sequence() - LOOKED_BACK))
                async with self._copies.copies(after) as batches:
                    async for batch in batches:
                        for copy in batch:
                            self.hear(copy)
                            after = copy.sequence
                        if not batch:
                            await asyncio.sleep(PAUSE_S)
            except Unavailable as unavailable:
                _log.warning("models_not_followed", reason=str(unavailable))
                await asyncio.sleep(RETRY_S)

    def hear(self, copy: Copy) -> None:
        body = copy.body
        if not any(word in body for word in OF_MODELS) and not self._is_outcome(copy):
            return
        try:
            heard = _read(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # a body that is not there any more, or of a program to come
        age_s = max(0.0, (self._clock.now() - heard.at).total_seconds())
        for fact in heard.events:
            self._count(copy, fact, age_s)

    def _is_outcome(self, copy: Copy) -> bool:
        """Of a run that asked a model."""
        if copy.stream.kind == "run" and (copy.stream.tenant_id, copy.stream.id) not in self._asked_last:
            return False
        return any(word in copy.body for word in OF_OUTCOMES)

    def _count(self, copy: Copy, fact: _Fact, age_s: float) -> None:
        tenant_id, run_id = copy.stream.tenant_id, copy.stream.id
        match fact.type:
            case "tool_call.verified.v1" if fact.verdict in ("matched", "drifted"):
                self._verified(tenant_id, run_id, right=fact.verdict == "matched", age_s=age_s)
            case "case.reported.v1" if fact.label in WRONG:
                self._verified(tenant_id, fact.run_id, right=False, age_s=age_s)
            case "model_call.requested.v1" if fact.purpose == "repair":
                self._verified(tenant_id, run_id, right=False, age_s=age_s)
            case _ if fact.type.startswith("model_call."):
                self._count_call(tenant_id, run_id, fact, age_s)

    def _count_call(self, tenant_id: TenantId, run_id: str, fact: _Fact, age_s: float) -> None:
        key, call = ModelKey(tenant_id, fact.provider, fact.model), (tenant_id, fact.call_id)
        match fact.type:
            case "model_call.requested.v1" if fact.answer_schema_hash:
                _keep(self._held_to_a_schema, call, key)
            case "model_call.routed.v1":
                _keep(self._routed, call, key)
            case "model_call.completed.v1" if not fact.cached:
                # The provider may call the model that answered by a longer name.
                key = self._routed.pop(call, key)
                self._standings.answered(key, fact.latency_us // 1_000, age_s)
                _keep(self._asked_last, (tenant_id, run_id), key)
                if self._held_to_a_schema.pop(call, None):
                    self._standings.checked(key, right=True, age_s=age_s)
            case "model_call.attempt_failed.v1" if fact.code in NOT_GOOD_ENOUGH:
                self._standings.checked(key, right=False, age_s=age_s)
            case "model_call.attempt_failed.v1" if fact.error_class not in EXCUSED:
                self._standings.failed(key, age_s)

    def _verified(self, tenant_id: TenantId, run_id: str, *, right: bool, age_s: float) -> None:
        if (key := self._asked_last.get((tenant_id, run_id))) is not None:
            self._standings.checked(key, right=right, age_s=age_s)


def _keep(kept: OrderedDict[tuple[TenantId, str], ModelKey], name: tuple[TenantId, str], key: ModelKey) -> None:
    kept[name] = key
    kept.move_to_end(name)
    while len(kept) > KEPT:
        kept.popitem(last=False)
