"""Gives a read what the same one gave a moment ago, where its tool says that this may be, and keeps what reads give.

Only what is asked for costs a question: tools with `cache_s`, and steps that take a cached result during an outage.
"""

from fairlead_sdk.contract import Effect
from msgspec import Struct

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.redaction import redact
from fairlead.domain.results import IN_AN_OUTAGE_S, KeptResult, ResultKey
from fairlead.domain.runs.commands import CallErred, CallSucceeded
from fairlead.domain.runs.events import FromCache, ToolCallRequested
from fairlead.handling.tenant_tools import Fitted
from fairlead.ports import Clock, Results
from fairlead.workers.equipping import Access, Place


class Recall(Struct, frozen=True, kw_only=True):
    """What is known before a call. `fresh` is as good as a call; `last` is taken only while there is no answer.

    With `key` and `epoch` what the call gives is kept.
    """

    key: ResultKey
    epoch: str
    fresh: CallSucceeded | None = None
    last: CallSucceeded | None = None


class Remembering:
    def __init__(self, results: Results, clock: Clock) -> None:
        self._results = results
        self._clock = clock

    async def recall(
        self, fitted: Fitted, request: ToolCallRequested, place: Place, access: Access, disablings: int
    ) -> Recall:
        key = _key(fitted, request, place, access, disablings)
        found = await self._results.find(key)
        if found.kept is None:
            return Recall(key=key, epoch=found.epoch)
        age_s = max(0.0, (self._clock.now() - found.kept.at).total_seconds())
        given = _given(fitted, found.kept, age_s)
        return Recall(
            key=key,
            epoch=found.epoch,
            fresh=given if age_s < fitted.tool.cache_s else None,
            last=given if request.on_outage == "cached" and age_s < IN_AN_OUTAGE_S else None,
        )

    def keep(self, recall: Recall, access: Access, output: object, took_us: int) -> None:
        """What came from another account than was looked at is not kept."""
        if (access.connection_id, access.generation) == (recall.key.connection_id, recall.key.account):
            safe, _ = redact(output)
            self._results.keep(recall.key, recall.epoch, KeptResult(output=safe, at=self._clock.now(), took_us=took_us))

    async def wrote(self, fitted: Fitted, place: Place, outcome: object) -> None:
        """After a write, unless it is known that nothing was done: reads are to see it."""
        unclear = isinstance(outcome, CallErred) and (outcome.unclear or outcome.error_class == "unknown_outcome")
        if fitted.tool.effect is Effect.READ or (isinstance(outcome, CallErred) and not unclear):
            return
        surely = any(tool.cache_s for tool in fitted.manifest.tools if tool.effect is Effect.READ)
        await self._results.forget(place.tenant_id, fitted.manifest.name, surely)


def is_kept(fitted: Fitted, request: ToolCallRequested) -> bool:
    return fitted.tool.effect is Effect.READ and (fitted.tool.cache_s > 0 or request.on_outage == "cached")


def _given(fitted: Fitted, kept: KeptResult, age_s: float) -> CallSucceeded:
    saved = FromCache(
        at=kept.at,
        age_ms=round(age_s * 1_000),
        saved_us=kept.took_us,
        saved_usd_micros=fitted.tool.cost_usd_micros,
    )
    return CallSucceeded(output=kept.output, cached=saved)


def _key(fitted: Fitted, request: ToolCallRequested, place: Place, access: Access, disablings: int) -> ResultKey:
    return ResultKey(
        tenant_id=place.tenant_id,
        workspace_id=place.workspace_id,
        environment_id=place.environment_id,
        connector=fitted.manifest.name,
        disablings=disablings,
        connection_id=access.connection_id,
        account=access.generation,
        tool=request.tool,
        tool_version=f"{fitted.manifest.version}/{request.tool_version}/{request.schema_hash}",
        arguments_sha256=canonical_sha256(request.arguments),
    )
