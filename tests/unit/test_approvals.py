"""An approval: who may answer, what settles it, and that random answers never break its rules."""

from datetime import timedelta
from typing import Any, Literal

import pytest
from fairlead_tenants.ids import PrincipalId, WorkspaceId
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec.structs import replace

from fairlead.domain import approvals as a
from fairlead.domain.errors import FairleadError, NotFound
from fairlead.domain.ids import CallId, RunId
from fairlead.domain.runs.events import Escalation
from tests.support.clock import T0
from tests.support.given import Given, Spec, given

APPROVALS: Spec[a.ApprovalCommand, a.ApprovalState, a.ApprovalEvent] = Spec(a.decide, a.evolve, a.initial)
DEADLINE = T0 + timedelta(hours=1)
JUST = timedelta(microseconds=1)
STARTER, AGENT = PrincipalId("prn_starter"), PrincipalId("prn_agent")
Kind = Literal["person", "service_account", "agent"]


def asked(count: int = 1) -> a.ApprovalRequested:
    return a.ApprovalRequested(
        run_id=RunId("run_1"),
        call_id=CallId("tcl_1-1"),
        workspace_id=WorkspaceId("wsp_1"),
        workflow_name="pay",
        tool="bills.pay",
        arguments={"amount": 1},
        rule_id="writes",
        reason="it writes",
        evidence={},
        fingerprint="f",
        digest="d",
        count=count,
        roles=("reviewer", "owner"),
        requested_by=(STARTER, AGENT),
        deadline_at=DEADLINE,
    )


def sign(who: str = "ann", **changes: Any) -> a.SignApproval:
    fields: dict[str, Any] = {
        "principal_id": PrincipalId(f"prn_{who}"),
        "principal_kind": "person",
        "role_names": ("reviewer",),
        "digest": "d",
        "comment": "fine",
        "now": T0,
    }
    return a.SignApproval(**(fields | changes))


def deny(who: str = "ann", **changes: Any) -> a.DenyApproval:
    fields: dict[str, Any] = {
        "principal_id": PrincipalId(f"prn_{who}"),
        "principal_kind": "person",
        "role_names": ("reviewer",),
        "comment": "not this one",
        "now": T0,
    }
    return a.DenyApproval(**(fields | changes))


def pending(count: int = 1) -> Given[a.ApprovalCommand, a.ApprovalState, a.ApprovalEvent]:
    return given(APPROVALS, asked(count))


def tags(facts: list[a.ApprovalEvent]) -> list[str]:
    return [type(fact).__name__ for fact in facts]


def test_one_signature_grants_where_one_is_asked_for_and_carries_what_was_shown() -> None:
    signed, granted = pending().when(sign())
    assert signed == a.ApprovalSigned(signed_by=PrincipalId("prn_ann"), comment="fine", missing=0)
    assert isinstance(granted, a.ApprovalGranted)
    assert (granted.digest, granted.fingerprint, granted.approved_by) == ("d", "f", (PrincipalId("prn_ann"),))


def test_two_signatures_are_two_people() -> None:
    once = pending(2).after(sign("ann"))
    with pytest.raises(a.AlreadySigned):
        once.when(sign("ann"))
    assert tags(once.when(sign("bo"))) == ["ApprovalSigned", "ApprovalGranted"]


@pytest.mark.parametrize("answer", [sign, deny])
@pytest.mark.parametrize("kind", ["agent", "service_account"])
def test_only_people_answer(answer: Any, kind: Kind) -> None:
    with pytest.raises(a.MayNotApprove):
        pending().when(answer(principal_kind=kind))


@pytest.mark.parametrize("answer", [sign, deny])
@pytest.mark.parametrize("who", ["starter", "agent"])
def test_whoever_asked_does_not_answer(answer: Any, who: str) -> None:
    with pytest.raises(a.MayNotApprove):
        pending().when(answer(who))


@pytest.mark.parametrize("answer", [sign, deny])
@pytest.mark.parametrize("roles", [(), ("operator", "auditor")])
def test_others_need_one_of_the_roles(answer: Any, roles: tuple[str, ...]) -> None:
    with pytest.raises(a.MayNotApprove):
        pending().when(answer(role_names=roles))
    assert pending().when(answer(role_names=("operator", "owner")))


def test_a_signature_under_something_else_is_refused() -> None:
    with pytest.raises(a.DigestMismatch):
        pending().when(sign(digest="other"))


@pytest.mark.parametrize("answer", [sign, deny])
@pytest.mark.parametrize(("at", "late"), [(DEADLINE - JUST, False), (DEADLINE, True), (DEADLINE + JUST, True)])
def test_an_answer_at_the_deadline_or_after_it_comes_too_late(answer: Any, at: Any, late: bool) -> None:
    assert (tags(pending().when(answer(now=at))) == ["ApprovalExpired"]) is late


def test_an_alarm_that_rings_early_changes_nothing() -> None:
    assert pending().when(a.ExpireApproval(now=DEADLINE - JUST)) == []
    assert tags(pending().when(a.ExpireApproval(now=DEADLINE))) == ["ApprovalExpired"]


@pytest.mark.parametrize(
    "settle", [sign(), deny(), a.ExpireApproval(now=DEADLINE), a.WithdrawApproval(reason="the run has ended")]
)
def test_what_is_settled_stays_settled(settle: a.ApprovalCommand) -> None:
    settled = pending().after(settle)
    for late in (sign("bo"), deny("bo")):
        with pytest.raises(a.ApprovalSettled):
            settled.when(late)
    for again in (a.ExpireApproval(now=DEADLINE), a.WithdrawApproval(reason=""), a.RequestApproval(requested=asked())):
        assert settled.when(again) == []


def test_nothing_can_be_said_to_an_approval_nobody_asked_for() -> None:
    with pytest.raises(NotFound):
        given(APPROVALS).when(sign())
    assert given(APPROVALS).when(a.WithdrawApproval(reason="")) == []
    assert given(APPROVALS).when(a.ExpireApproval(now=DEADLINE)) == []


def test_asking_twice_asks_once() -> None:
    assert pending().when(a.RequestApproval(requested=asked(5))) == []


def test_a_secret_in_a_comment_does_not_reach_a_fact() -> None:
    secret = "ghp_" + "a1B2" * 9
    assert secret not in repr(pending().when(sign(comment=f"see {secret}")))
    assert secret not in repr(pending().when(deny(comment=f"see {secret}")))


class ApprovalMachine(RuleBasedStateMachine):
    """Anybody answers anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.state: a.ApprovalState = a.initial()
        self.history: list[a.ApprovalEvent] = []
        self.now = T0

    @initialize(count=st.integers(1, 3))
    def request(self, count: int) -> None:
        self.count = count
        self.do(a.RequestApproval(requested=asked(count)))

    @rule(
        who=st.sampled_from(["ann", "bo", "cy", "di", "starter", "agent"]),
        kind=st.sampled_from(["person", "person", "person", "service_account", "agent"]),
        role=st.sampled_from(["reviewer", "reviewer", "owner", "operator"]),
        digest=st.sampled_from(["d", "d", "d", "other"]),
    )
    def somebody_signs(self, who: str, kind: Kind, role: str, digest: str) -> None:
        self.do(sign(who, principal_kind=kind, role_names=(role,), digest=digest, now=self.now))

    @rule(who=st.sampled_from(["ann", "starter"]), role=st.sampled_from(["reviewer", "operator"]))
    def somebody_denies(self, who: str, role: str) -> None:
        self.do(deny(who, role_names=(role,), now=self.now))

    @rule()
    def the_alarm_rings(self) -> None:
        self.do(a.ExpireApproval(now=self.now))

    @rule(minutes=st.sampled_from([1, 10, 45]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def it_is_asked_again(self) -> None:
        self.do(a.RequestApproval(requested=asked(1)))

    def do(self, command: a.ApprovalCommand) -> None:
        before = self.state
        try:
            facts = a.decide(command, before)
        except FairleadError:
            return
        for fact in facts:
            self.state = a.evolve(self.state, fact)
        self.history += facts
        if any(isinstance(fact, a.ApprovalSigned | a.ApprovalDenied) for fact in facts):
            assert self.now < DEADLINE
        assert not (facts and isinstance(before, a.Settled)), "nothing follows an outcome"
        self.check()

    def check(self) -> None:
        signers = [fact.signed_by for fact in self.history if isinstance(fact, a.ApprovalSigned)]
        assert len(signers) == len(set(signers)) <= self.count
        assert not {STARTER, AGENT} & set(signers)
        granted = [fact for fact in self.history if isinstance(fact, a.ApprovalGranted)]
        assert bool(granted) == (len(signers) == self.count)
        assert all(fact.approved_by == tuple(signers) for fact in granted)


ApprovalMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestApprovals = ApprovalMachine.TestCase


# --- other answers than yes and no, and the next role ---------------------------------------------------------------


def edit(who: str = "ann", **changes: Any) -> a.EditApproval:
    fields: dict[str, Any] = {
        "principal_id": PrincipalId(f"prn_{who}"),
        "principal_kind": "person",
        "role_names": ("reviewer",),
        "digest": "d",
        "arguments": {"amount": 2},
        "comment": "too much",
        "now": T0,
    }
    return a.EditApproval(**(fields | changes))


def wish(who: str = "ann", **changes: Any) -> a.RequestChanges:
    fields: dict[str, Any] = {
        "principal_id": PrincipalId(f"prn_{who}"),
        "principal_kind": "person",
        "role_names": ("reviewer",),
        "comment": "ask the supplier first",
        "now": T0,
    }
    return a.RequestChanges(**(fields | changes))


def test_an_edit_is_on_the_record_and_ends_the_approval_with_whatever_was_signed() -> None:
    signed = pending(2).after(sign("bo"))
    [edited] = signed.when(edit())
    assert edited == a.ApprovalEdited(
        run_id=RunId("run_1"),
        call_id=CallId("tcl_1-1"),
        edited_by=PrincipalId("prn_ann"),
        arguments={"amount": 2},
        comment="too much",
    )
    with pytest.raises(a.ApprovalSettled, match="edited"):
        signed.after(edit()).when(sign("cy"))


def test_an_edit_is_for_what_was_looked_at_and_comes_before_the_outcome() -> None:
    with pytest.raises(a.DigestMismatch):
        pending().when(edit(digest="another"))
    with pytest.raises(a.ApprovalSettled, match="granted"):
        pending().after(sign("bo")).when(edit())


def test_a_secret_in_edited_arguments_is_not_kept() -> None:
    [edited] = pending().when(edit(arguments={"note": "ghp_" + "a1B2" * 9}))
    assert isinstance(edited, a.ApprovalEdited)
    assert "ghp_" not in edited.arguments["note"]


def test_asking_for_changes_is_an_outcome_of_its_own() -> None:
    [wished] = pending().when(wish())
    assert isinstance(wished, a.ApprovalChangesRequested)
    assert (wished.requested_by, wished.comment) == ("prn_ann", "ask the supplier first")
    with pytest.raises(a.ApprovalSettled, match="changes_requested"):
        pending().after(wish()).when(wish("bo"))


@pytest.mark.parametrize("answer", [edit, wish, sign, deny])
@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"principal_kind": "agent"}, a.OnlyPeopleApprove),
        ({"principal_id": STARTER}, a.RequesterMayNotApprove),
        ({"role_names": ("developer",)}, a.MayNotApprove),
    ],
)
def test_no_answer_is_taken_from_who_may_not_approve(answer: Any, changes: Any, refusal: Any) -> None:
    with pytest.raises(refusal):
        pending().when(answer(**changes))


HALF, MOST = T0 + timedelta(minutes=30), T0 + timedelta(minutes=50)


def escalating() -> Given[a.ApprovalCommand, a.ApprovalState, a.ApprovalEvent]:
    steps = (Escalation(at=HALF, roles=("admin",)), Escalation(at=MOST, roles=("owner",)))
    return given(APPROVALS, replace(asked(), escalations=steps))


def test_when_nobody_answers_the_next_role_may_as_well_and_then_it_expires() -> None:
    assert escalating().when(a.ExpireApproval(now=HALF - JUST)) == []
    [first] = escalating().when(a.ExpireApproval(now=HALF))
    assert isinstance(first, a.ApprovalEscalated)
    assert (first.level, first.roles) == (1, ("admin",))
    admin = sign(role_names=("admin",), now=HALF)
    with pytest.raises(a.MayNotApprove):
        escalating().when(admin)
    later = escalating().after(a.ExpireApproval(now=HALF))
    assert isinstance(later.when(admin)[-1], a.ApprovalGranted)
    assert isinstance(later.when(sign(now=HALF))[-1], a.ApprovalGranted), "whoever could before still can"
    assert later.when(a.ExpireApproval(now=HALF)) == [], "an alarm that rings twice changes nothing"
    assert [type(each) for each in later.when(a.ExpireApproval(now=DEADLINE))] == [a.ApprovalExpired]


def test_an_engine_that_was_away_skips_no_role() -> None:
    assert [each.level for each in escalating().when(a.ExpireApproval(now=MOST))] == [1, 2]  # type: ignore[union-attr]


def test_what_is_due_next_is_the_next_role_and_then_the_deadline() -> None:
    due = []
    for now in (T0, HALF, MOST):
        state = escalating().after(a.ExpireApproval(now=now)).state
        assert isinstance(state, a.Pending)
        due.append(state.due_at)
    assert due == [HALF, MOST, DEADLINE]


# --- claims -----------------------------------------------------------------------------------------------------------


def claim(who: str = "ann", until: Any = HALF, **changes: Any) -> a.ClaimApproval:
    fields: dict[str, Any] = {
        "principal_id": PrincipalId(f"prn_{who}"),
        "principal_kind": "person",
        "role_names": ("reviewer",),
        "until": until,
        "now": T0,
    }
    return a.ClaimApproval(**(fields | changes))


@pytest.mark.parametrize("answer", [edit, wish, sign, deny, claim])
def test_while_somebody_looks_into_it_nobody_else_answers(answer: Any) -> None:
    claimed = pending(2).after(claim())
    with pytest.raises(a.ApprovalIsClaimed):
        claimed.when(answer("bo"))
    assert claimed.when(answer("ann"))
    assert claimed.when(answer("bo", now=HALF)), "a claim ends by itself"


def test_a_claim_is_given_back_by_whoever_has_it_and_only_by_them() -> None:
    claimed = pending().after(claim())
    with pytest.raises(a.ApprovalIsClaimed):
        claimed.when(claim("bo", until=None))
    back = claimed.after(claim(until=None))
    assert isinstance(back.when(sign("bo"))[-1], a.ApprovalGranted)
    assert pending().when(claim(until=None)) == []


def test_only_who_may_answer_may_claim() -> None:
    with pytest.raises(a.RequesterMayNotApprove):
        pending().when(claim(principal_id=STARTER))
    with pytest.raises(a.ApprovalSettled):
        pending().after(deny()).when(claim())


# --- on behalf of somebody ------------------------------------------------------------------------------------------

ANN, BO, CY = (PrincipalId(f"prn_{name}") for name in ("ann", "bo", "cy"))


def test_a_signature_on_behalf_of_somebody_names_both_and_is_that_of_both() -> None:
    signed = pending(2).after(sign("bo", on_behalf_of=ANN))
    assert pending(2).when(sign("bo", on_behalf_of=ANN)) == [
        a.ApprovalSigned(signed_by=BO, comment="fine", missing=1, on_behalf_of=ANN)
    ]
    for again in (sign("ann"), sign("bo"), sign("cy", on_behalf_of=ANN), sign("bo", on_behalf_of=CY)):
        with pytest.raises(a.AlreadySigned):
            signed.when(again)
    assert tags(signed.when(sign("cy"))) == ["ApprovalSigned", "ApprovalGranted"]


@pytest.mark.parametrize("first", [sign("ann"), sign("bo")])
def test_whoever_has_signed_does_not_sign_again_on_behalf_or_through_somebody(first: a.SignApproval) -> None:
    with pytest.raises(a.AlreadySigned):
        pending(2).after(first).when(sign("bo", on_behalf_of=ANN))


@pytest.mark.parametrize("answer", [sign, deny, wish])
def test_nobody_answers_on_behalf_of_whoever_asked_nor_whoever_asked_for_others(answer: Any) -> None:
    for who, other in (("ann", STARTER), ("starter", ANN), ("ann", AGENT)):
        with pytest.raises(a.RequesterMayNotApprove):
            pending().when(answer(who, on_behalf_of=other))


def test_a_denial_on_behalf_of_somebody_names_both_and_is_for_what_was_looked_at() -> None:
    [denied] = pending().when(deny("bo", on_behalf_of=ANN, digest="d"))
    assert isinstance(denied, a.ApprovalDenied)
    assert (denied.denied_by, denied.on_behalf_of) == (BO, ANN)
    with pytest.raises(a.DigestMismatch):
        pending().when(deny(digest="other"))


# --- being told, and answering by a link ----------------------------------------------------------------------------

LATE = T0 + timedelta(minutes=54)


def told(*people: a.Told, notice: str = "requested") -> a.TellReviewers:
    return a.TellReviewers(told=a.ReviewersTold(notice=notice, told=people, until=DEADLINE))


def linked(**changes: Any) -> Given[a.ApprovalCommand, a.ApprovalState, a.ApprovalEvent]:
    """Ann and bo have links of their own; cy has one on behalf of ann."""
    people = (
        a.Told(principal_id=ANN, link_hash="ann's"),
        a.Told(principal_id=BO, link_hash="bo's"),
        a.Told(principal_id=CY, on_behalf_of=ANN, link_hash="cy's"),
    )
    return given(APPROVALS, replace(asked(2), **changes)).after(told(*people))


def test_that_the_deadline_is_near_is_said_once_and_between_the_roles() -> None:
    reminding = replace(asked(), remind_at=LATE, escalations=(Escalation(at=HALF, roles=("admin",)),))
    waiting = given(APPROVALS, reminding)
    escalated = waiting.after(a.ExpireApproval(now=HALF))
    due = [each.state.due_at for each in (waiting, escalated) if isinstance(each.state, a.Pending)]
    assert due == [HALF, LATE]
    assert tags(escalated.when(a.ExpireApproval(now=LATE))) == ["ApprovalDueSoon"]
    assert escalated.after(a.ExpireApproval(now=LATE)).when(a.ExpireApproval(now=LATE)) == []
    assert tags(waiting.when(a.ExpireApproval(now=LATE))) == ["ApprovalEscalated", "ApprovalDueSoon"]
    assert tags(waiting.when(a.ExpireApproval(now=DEADLINE))) == ["ApprovalExpired"]


def test_people_are_told_once_for_each_reason_and_nobody_of_what_is_settled() -> None:
    assert tags(linked().when(told(notice="due-soon"))) == ["ReviewersTold"]
    assert linked().when(told(notice="requested")) == []
    assert pending().after(sign()).when(told()) == []
    assert given(APPROVALS).when(told()) == []


@pytest.mark.parametrize("answer", [sign, deny, wish])
def test_a_link_is_for_its_own_person_and_for_whoever_they_stand_in_for(answer: Any) -> None:
    for who, link, other in (("ann", "ann's", None), ("cy", "cy's", ANN)):
        first = linked().when(answer(who, link_hash=link, on_behalf_of=other))[0]
        assert getattr(first, "by_link", False)
    for who, link, other in (
        ("ann", "bo's", None),
        ("bo", "ann's", None),
        ("cy", "cy's", None),
        ("ann", "nobody's", None),
        ("bo", "bo's", ANN),
    ):
        with pytest.raises(a.LinkRefused):
            linked().when(answer(who, link_hash=link, on_behalf_of=other))


def test_a_link_is_used_up_with_the_say_of_its_person_however_it_was_given() -> None:
    for first in (sign("ann", link_hash="ann's"), sign("ann"), sign("cy", link_hash="cy's", on_behalf_of=ANN)):
        used = linked().after(first)
        for who, link, other in (("ann", "ann's", None), ("cy", "cy's", ANN)):
            with pytest.raises(a.LinkRefused):
                used.when(deny(who, link_hash=link, on_behalf_of=other))
        assert used.when(sign("bo", link_hash="bo's"))
    with pytest.raises(a.ApprovalSettled):
        linked().after(deny("bo")).when(sign("ann", link_hash="ann's"))
    assert tags(linked().when(sign("ann", link_hash="ann's", now=DEADLINE))) == ["ApprovalExpired"]


def test_a_link_is_not_enough_where_the_rule_asks_for_a_sign_in_nor_does_it_make_anybody_fit() -> None:
    with pytest.raises(a.StrongSignInNeeded):
        linked(strong_sign_in=True).when(sign("ann", link_hash="ann's"))
    assert linked(strong_sign_in=True).when(sign("ann"))
    for changes in ({"role_names": ()}, {"principal_kind": "agent"}):
        with pytest.raises(a.MayNotApprove):
            linked().when(sign("ann", link_hash="ann's", **changes))
