"""Gives a question the answer that the same one was given, or one that is alike, where its route says that this may be.

Answers lie where results of reads lie, sealed under the key of whom the question was about: without the key, which
goes when that person is erased, nobody reads one. What is forgotten on the log is found by nobody.
"""

import asyncio
from hashlib import sha256
from typing import Any, Literal

import msgspec
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.codec import UnreadableCommit
from fairlead.domain.errors import Unavailable
from fairlead.domain.models.answer import ModelAnswer
from fairlead.domain.models.recording import request_hash
from fairlead.domain.models.request import ModelRequest
from fairlead.domain.money import UsdMicros
from fairlead.domain.redaction import redact
from fairlead.domain.results import AnswerKey, KeptResult
from fairlead.domain.routing.asking import Route
from fairlead.domain.routing.likeness import Likeness, alike, is_kept, likeness
from fairlead.domain.routing.routes import route_id
from fairlead.domain.sealing import box_in, open_box
from fairlead.ports import Clock, ContentKeys, Results

WHOLE = ("stop", "tool_calls")  # endings of answers that are worth keeping

_encode = msgspec.json.Encoder().encode


class Question(Struct, frozen=True, kw_only=True):
    """`request` with the model left empty: the route says which. `subject` is whom the run is about, as its events name
    them; empty: nobody in particular."""

    tenant_id: TenantId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    route: Route
    request: ModelRequest
    subject: str = ""


class Hit(Struct, frozen=True, kw_only=True):
    """`likeness_percent` is 100 for the same question."""

    answer: ModelAnswer
    provider: str
    model: str
    how: Literal["exact", "similar"]
    age_s: float
    likeness_percent: int
    saved_usd_micros: UsdMicros


class Recalled(Struct, frozen=True, kw_only=True):
    """What is known before a call; with it, what the call gives is kept."""

    question: Question
    key: AnswerKey
    epoch: str
    hit: Hit | None = None
    likeness: Likeness | None = None


class _Answer(Struct, frozen=True, kw_only=True):
    answer: ModelAnswer
    provider: str
    model: str
    cost_usd_micros: UsdMicros


class _Pointer(Struct, frozen=True, kw_only=True):
    """To the answer of a question with these words."""

    words: frozenset[int]
    digest: str


class AnswerCache:
    def __init__(self, results: Results, keys: ContentKeys, clock: Clock) -> None:
        self._results = results
        self._keys = keys
        self._clock = clock

    async def recall(self, question: Question) -> Recalled | None:
        """None where nothing is kept. Never raises: a cache that does not answer is empty."""
        caching = question.route.document.cache
        if (caching.exact is None and caching.similar is None) or not is_kept(question.request):
            return None
        key = _key(question, request_hash(replace(question.request, model="")))
        found = await self._results.find(key)
        recalled = Recalled(question=question, key=key, epoch=found.epoch)
        longest_s = max(each.ttl_s for each in (caching.exact, caching.similar) if each is not None)
        if (hit := await self._hit(key, found.kept, longest_s, "exact", 100)) is not None:
            return replace(recalled, hit=hit)
        if caching.similar is None or (like := likeness(replace(question.request, model=""))) is None:
            return recalled
        hit = await self._similar(question, like, caching.similar.ttl_s, caching.similar.threshold)
        return replace(recalled, likeness=like, hit=hit)

    async def keep(
        self, recalled: Recalled, answer: ModelAnswer, provider: str, model: str, cost_usd_micros: int, took_us: int
    ) -> None:
        """An answer that was given after it was looked for. One with a secret in it, or that is not whole, is not
        kept. Never raises."""
        if not recalled.epoch or answer.finish.reason not in WHOLE or redact(msgspec.to_builtins(answer.parts))[1]:
            return
        entry = _Answer(answer=answer, provider=provider, model=model, cost_usd_micros=UsdMicros(cost_usd_micros))
        try:
            await self._seal(recalled, recalled.key, entry, took_us)
            if recalled.likeness is not None:
                pointer = _Pointer(words=recalled.likeness.words, digest=recalled.key.digest)
                for band in _bands(recalled.question, recalled.likeness):
                    await self._seal(recalled, band, pointer, took_us)
        except Unavailable:
            return

    async def _similar(self, question: Question, like: Likeness, ttl_s: float, threshold: float) -> Hit | None:
        found = await asyncio.gather(*(self._results.find(band) for band in _bands(question, like)))
        near: dict[str, float] = {}
        for each in found:
            pointer = await self._opened(question.tenant_id, each.kept, ttl_s, _Pointer)
            if pointer is not None and (likely := alike(pointer.words, like.words)) >= threshold:
                near[pointer.digest] = likely
        for digest in sorted(near, key=lambda each: -near[each]):
            key = _of_digest(question, digest)
            kept = (await self._results.find(key)).kept
            hit = await self._hit(key, kept, ttl_s, "similar", round(100 * near[digest]))
            if hit is not None:
                return hit
        return None

    async def _hit(
        self, key: AnswerKey, kept: KeptResult | None, ttl_s: float, how: Literal["exact", "similar"], percent: int
    ) -> Hit | None:
        found = await self._opened(key.tenant_id, kept, ttl_s, _Answer)
        if found is None or kept is None:
            return None
        return Hit(
            answer=found.answer,
            provider=found.provider,
            model=found.model,
            how=how,
            age_s=self._age_s(kept),
            likeness_percent=percent,
            saved_usd_micros=found.cost_usd_micros,
        )

    async def _seal(self, recalled: Recalled, key: AnswerKey, value: Struct, took_us: int) -> None:
        question, now = recalled.question, self._clock.now()
        content = await self._keys.sealing(question.tenant_id, question.subject)
        place, drawn = f"answer/{key.digest}", f"{now.timestamp()}/{took_us}"
        box = content.seal(question.tenant_id, place, drawn, msgspec.to_builtins(value)).decode()
        self._results.keep(key, recalled.epoch, KeptResult(output=box, at=now, took_us=took_us))

    async def _opened(self, tenant_id: TenantId, kept: KeptResult | None, ttl_s: float, of: type[Any]) -> Any:
        """None for what is too old, was sealed under a key that is gone, or is not what it should be."""
        if kept is None or self._age_s(kept) >= ttl_s or not isinstance(kept.output, str):
            return None
        try:
            box = box_in(kept.output.encode())
            if box is None:
                return None
            opened = open_box(tenant_id, box, await self._keys.opening(tenant_id, {box.key_id}))
            return msgspec.json.decode(opened.content, type=of) if opened else None
        except (UnreadableCommit, Unavailable, msgspec.DecodeError):
            return None

    def _age_s(self, kept: KeptResult) -> float:
        return max(0.0, (self._clock.now() - kept.at).total_seconds())


def _key(question: Question, said: str) -> AnswerKey:
    """Under everything that could make the answer another one, the tenant first."""
    route = question.route
    place = (question.tenant_id, question.workspace_id, question.environment_id, route.name)
    known = _encode([*place, route.version, route.forgotten, said])
    return _of_digest(question, sha256(known).hexdigest())


def _of_digest(question: Question, digest: str) -> AnswerKey:
    return AnswerKey(
        tenant_id=question.tenant_id, connector=route_id(question.tenant_id, question.route.name), digest=digest
    )


def _bands(question: Question, like: Likeness) -> list[AnswerKey]:
    return [_key(question, f"{like.same}/{band}") for band in like.bands]
