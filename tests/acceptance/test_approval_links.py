"""Those who may answer an approval are written to, and answer by the link in their mail: once, as themselves."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from email.message import EmailMessage
from html import unescape
from typing import Any

import httpx2
import pytest
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import PrincipalId

from fairlead.domain.envelope import StreamRef
from fairlead.domain.tenants.commands import WithdrawRole
from fairlead.domain.tenants.identity import principal_of
from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.database import DatabaseUrls
from tests.support.engines import cloned_database
from tests.support.letterbox import Letterbox, letterbox
from tests.support.workflows import asking_people, at_work, echo, publish, started, the_approval, until, until_status

FROM = "fairlead@harbour.example"


@pytest.fixture(scope="module")
async def post(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Letterbox]:
    async with in_a_task_of_its_own(letterbox(tmp_path_factory.mktemp("post"))) as box:
        yield box


@pytest.fixture(scope="module")
async def served(nats_url: str, database_template: DatabaseUrls, post: Letterbox) -> AsyncIterator[Served]:
    mail = {"mail_url": post.url, "mail_from": FROM, "mail_ca_file": post.ca_file, "public_url": "http://fairlead.test"}
    async with (
        cloned_database(database_template) as database,
        in_a_task_of_its_own(served_api(nats_url, database, mail)) as served,
        in_a_task_of_its_own(at_work(served)),
    ):
        yield served


async def reviewer(customer: Customer) -> tuple[PrincipalId, str]:
    """A reviewer and their address."""
    principal_id, _ = await customer.person(Grant(Role.REVIEWER))
    return principal_id, await address(customer, principal_id)


async def address(customer: Customer, principal_id: PrincipalId) -> str:
    email = (await customer.state()).members[principal_id].email
    assert email is not None
    return email


async def waiting(customer: Customer, count: int = 1, **needed: Any) -> Any:
    """An approval of a run that has just begun."""
    policy = asking_people(count)
    policy["policy"]["rules"][0]["approvals"] |= needed
    return await the_approval(customer, await started(customer.owner, await publish(customer, echo("a"), **policy)))


async def link_to(post: Letterbox, who: str, count: int = 1) -> str:
    """The path of the link in the newest mail to them."""
    return link_of((await post.to(who, count))[-1])


def link_of(letter: EmailMessage) -> str:
    found = re.search(r"http://fairlead\.test(/approve/fla_\S+)", letter.get_content())
    assert found, letter.get_content()
    return found[1]


async def answer(served: Served, path: str, said: str, comment: str = "") -> httpx2.Response:
    form = {"link": path.removeprefix("/approve/"), "answer": said, "comment": comment}
    return await served.client().post("/approve", data=form)


async def test_a_link_opens_what_is_asked_changes_nothing_and_takes_one_answer(
    served: Served, alice: Customer, post: Letterbox
) -> None:
    (ann_id, ann), (_, bo) = await reviewer(alice), await reviewer(alice)
    approval = await waiting(alice, count=2)
    path = await link_to(post, ann)
    (letter,) = await post.to(ann)
    assert (letter["From"], letter["Auto-Submitted"]) == (FROM, "auto-generated")
    assert "hello" not in letter.get_content(), "arguments are on the page, not in the mail"
    stream = StreamRef(alice.tenant_id, "approval", approval["approval_id"])
    before = len(await served.core.log.read(stream))
    for _ in range(2):
        await served.client().get(path)
    opened = await served.client().get(path)
    assert (opened.status_code, "basics.echo" in opened.text, "hello" in opened.text) == (200, True, True)
    assert len(await served.core.log.read(stream)) == before, "whatever looks through mails does no harm"
    assert "script" not in opened.text
    assert "default-src 'none'" in opened.headers["content-security-policy"]
    assert opened.headers["referrer-policy"] == "no-referrer"
    signed = await answer(served, path, "approve", "fine")
    assert (signed.status_code, "Thank you" in signed.text) == (200, True)
    again = await answer(served, path, "deny", "after all not")
    assert (again.status_code, (await served.client().get(path)).status_code) == (403, 403), "it is used up"
    other = await answer(served, await link_to(post, bo), "approve")
    assert "last signature" in other.text
    late = await answer(served, await link_to(post, bo), "deny", "no")
    assert (late.status_code, "already" in late.text.lower()) == (409, True)
    await until_status(alice, approval["run_id"], "completed")
    shown = await until(alice, f"/v1/approvals/{approval['approval_id']}", lambda each: each["status"] == "granted")
    assert (shown["answers"][0]["principal_id"], shown["answers"][0]["comment"]) == (ann_id, "fine")
    at = {"Fairlead-Position": str(await served.core.log.last_sequence())}
    looks = (await alice.owner.get("/v1/access?access=approval", headers=at)).json()["items"]
    assert {(each["principal_id"], each["object"]) for each in looks} >= {(ann_id, f"/v1/approvals/{stream.id}")}
    history = repr([recorded.body for recorded in await served.core.log.read(stream)])
    assert path.removeprefix("/approve/") not in history, "a link is stored by its hash alone"
    assert "fla_" not in repr(looks)


async def test_a_denial_by_link_says_why(served: Served, alice: Customer, post: Letterbox) -> None:
    _, ann = await reviewer(alice)
    approval = await waiting(alice)
    path = await link_to(post, ann)
    silent = await answer(served, path, "deny")
    assert (silent.status_code, "say why" in silent.text) == (422, True)
    denied = await answer(served, path, "deny", "<b>too dear</b>")
    assert "not made" in denied.text
    run = await until_status(alice, approval["run_id"], "failed")
    assert "<b>too dear</b>" in run["reason"]


async def test_links_that_were_altered_or_are_no_longer_their_persons_are_refused(
    served: Served, alice: Customer, bob: Customer, post: Letterbox
) -> None:
    (ann_id, ann), (_, zoe) = await reviewer(alice), await reviewer(bob)
    approval = await waiting(alice)
    foreign = await waiting(bob)
    path, theirs = await link_to(post, ann), await link_to(post, zoe)
    body, mark = path.split(".")
    for wrong in (f"{body}.{theirs.split('.')[1]}", f"{body[:-2]}AA.{mark}", f"{path}A", body, "/approve/fla_x.y"):
        refused = await served.client().get(wrong)
        assert (refused.status_code, "does not work" in refused.text) == (403, True), wrong
        assert (await answer(served, wrong, "approve")).status_code == 403
    withdrawn = WithdrawRole(
        principal_id=ann_id,
        grant=Grant(Role.REVIEWER),
        by=principal_of(await alice.state(), alice.owner_id),
        now=served.core.clock.now(),
    )
    await alice.do(withdrawn)
    assert (await answer(served, path, "approve")).status_code in (403, 404), "their rights are looked at again"
    assert (await served.client().get(path)).status_code in (403, 404)
    for each, customer in ((approval, alice), (foreign, bob)):
        shown = (await customer.owner.get(f"/v1/approvals/{each['approval_id']}")).json()
        assert (shown["status"], shown["answers"]) == ("pending", [])
    assert (await alice.owner.post(f"/v1/runs/{approval['run_id']}/cancel", json={"reason": "moot"})).status_code == 200
    _, mia = await reviewer(bob)
    assert mia not in {to for to, _ in post.letters}, "who came later is not written to again"


async def test_where_the_rule_asks_for_a_sign_in_there_is_no_link(
    served: Served, alice: Customer, post: Letterbox
) -> None:
    _, ann = await reviewer(alice)
    approval = await waiting(alice, strong_sign_in=True)
    (letter,) = await post.to(ann)
    assert "/approve/" not in letter.get_content()
    assert f"fairlead approval show {approval['approval_id']}" in letter.get_content()


async def test_a_mail_server_that_says_later_is_asked_again_and_one_that_says_never_is_not(
    served: Served, alice: Customer, post: Letterbox
) -> None:
    (_, ann), (_, bo) = sorted([await reviewer(alice), await reviewer(alice)])
    post.refuses += ["550 no such person", "451 later"]
    await waiting(alice)
    (letter,) = await post.to(bo)
    assert letter["Message-ID"].endswith("@harbour.example>")
    assert ann not in {to for to, _ in post.letters}
    assert unescape(letter["Subject"]) == "basics.echo waits for approval"


async def test_whoever_stands_in_for_a_reviewer_is_written_to_and_answers_for_them(
    served: Served, alice: Customer, post: Letterbox
) -> None:
    ann_id, ann_key = await alice.person(Grant(Role.REVIEWER))
    fay_id, _ = await alice.person(Grant(Role.DEVELOPER))
    fay, until_then = await address(alice, fay_id), (served.core.clock.now() + timedelta(days=1)).isoformat()
    lent = {"delegate": fay_id, "until": until_then, "reason": "on leave"}
    made = await alice.as_key(ann_key).post("/v1/delegations", json=lent)
    approval, other = await waiting(alice), await waiting(alice)
    (letter, _) = await post.to(fay, 2)
    assert f"you stand in for {ann_id}" in letter.get_content()
    links = {number: link_of(each) for number, each in enumerate(await post.to(fay, 2))}
    opened = await served.client().get(links[0])
    assert "on behalf of" in opened.text
    assert "Thank you" in (await answer(served, links[0], "approve")).text
    revoked = f"/v1/delegations/{made.json()['delegation_id']}/revoke"
    assert (await alice.as_key(ann_key).post(revoked, json={"reason": "back"})).status_code == 200
    assert (await answer(served, links[1], "approve")).status_code == 403, "taken back, it is worth nothing at once"
    at = {"Fairlead-Position": str(await served.core.log.last_sequence())}
    shown = [
        (await alice.owner.get(f"/v1/approvals/{each['approval_id']}", headers=at)).json() for each in (approval, other)
    ]
    (granted,) = [each for each in shown if each["status"] == "granted"]
    assert [(each["principal_id"], each["on_behalf_of"]) for each in granted["answers"]] == [(fay_id, ann_id)]
    assert [each["status"] for each in shown if each is not granted] == ["pending"]
    why = await alice.owner.get(f"/v1/tool-calls/{granted['call_id']}/why", headers=at)
    assert '"by_link":true' in why.text.replace(" ", "")
    assert "reviewers_told" not in why.text
