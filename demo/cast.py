"""People at work: through the API, each with their own key, they do what the story says about what waits for them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from demo.client import Client
from demo.story import Chapter, Signing

LOOK_EVERY_S = 0.25


class Reviewers:
    """`runs` are the chapters by run id. What has been answered is not answered again.

    `shown` is told what the signers of a chapter's first approval see.
    """

    def __init__(
        self,
        clients: Mapping[str, Client],
        runs: Mapping[str, Chapter],
        shown: Callable[[Chapter, dict[str, Any]], None],
    ) -> None:
        self._clients = clients
        self._runs = runs
        self._shown = shown
        self._done: set[tuple[str, str]] = set()

    async def work(self) -> None:
        """Until cancelled."""
        while True:
            await self._sign_what_waits()
            await self._answer_what_is_asked()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _sign_what_waits(self) -> None:
        waiting = await self._clients["rana"].get("/v1/approvals", status="pending", limit="100")
        for approval in waiting["items"]:
            chapter = self._runs.get(approval["run_id"])
            if chapter is not None:
                await self._sign(approval, chapter)

    async def _sign(self, approval: dict[str, Any], chapter: Chapter) -> None:
        call = await self._clients["rana"].get(f"/v1/tool-calls/{approval['call_id']}")
        for signing in chapter.signings:
            if signing.step == call["step"]:
                if self._first_time(chapter.document, "shown"):
                    self._shown(chapter, await self._clients["rana"].get(f"/v1/approvals/{approval['approval_id']}"))
                await self._say(approval, signing)

    async def _say(self, approval: dict[str, Any], signing: Signing) -> None:
        path = f"/v1/approvals/{approval['approval_id']}"
        for signer in signing.signers:
            if self._first_time(approval["approval_id"], signer):
                body = {"digest": approval["digest"], "comment": signing.comment}
                await self._clients[signer].post(f"{path}/approve", body)
        if signing.denied_by and self._first_time(approval["approval_id"], signing.denied_by):
            await self._clients[signing.denied_by].post(f"{path}/deny", {"comment": signing.comment})

    async def _answer_what_is_asked(self) -> None:
        for run_id, chapter in self._runs.items():
            if not chapter.answers:
                continue
            for question in await self._clients["rana"].get(f"/v1/runs/{run_id}/questions"):
                answer = chapter.answers.get(question["step"])
                if answer is not None and self._first_time(question["question_id"], "rana"):
                    path = f"/v1/runs/{run_id}/questions/{question['question_id']}/answer"
                    await self._clients["rana"].post(path, {"answer": answer})

    def _first_time(self, what: str, who: str) -> bool:
        if (what, who) in self._done:
            return False
        self._done.add((what, who))
        return True
