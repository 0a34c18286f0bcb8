"""Rules over what has already happened, and tallies that count across runs."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.contract import Effect
from msgspec.structs import replace

from fairlead.domain.envelope import Recorded
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.ids import CallId
from fairlead.domain.policy.compiled import Policy
from fairlead.domain.policy.document import Happened
from fairlead.domain.policy.explaining import explain
from fairlead.domain.policy.judge import Judgement, judge
from fairlead.domain.policy.proposed import ProposedCall
from fairlead.domain.policy.recounting import Recount
from fairlead.domain.policy.sequences import Past, matches
from fairlead.domain.policy.trying import judge_both, tried_beside
from fairlead.domain.tallies import (
    Place,
    PlaceReturned,
    PlacesWanted,
    PlaceTaken,
    ReturnPlace,
    TakePlace,
    Tally,
    TallyEvent,
    Want,
    decide,
    evolve,
    place_as_of,
    tally_stream,
)
from tests.support.clock import T0
from tests.support.commits import of as commit_of
from tests.support.tenancy import TENANT
from tests.unit.policy.test_judge import ALLOW, DENY, call, policy, said

ONE = CallId("tcl_1-1")
PLACE = Place(rank=2, others=True)
AFTER = {**DENY, "after": {"tools": ["bills.list"]}}


def proposed(*made: tuple[str, Effect | None], **past: Any) -> ProposedCall:
    return call(past=Past(call_id=ONE, run_id="run_1", made=made, **past))


@pytest.mark.parametrize(
    ("after", "happened"),
    [
        ({}, True),
        ({"tools": ["bills.list"]}, True),
        ({"tools": ["bills.pay"]}, False),
        ({"connectors": ["bills"], "effects": ["read"]}, True),
        ({"connectors": ["mail"]}, False),
        ({"effects": ["destructive"]}, False),
    ],
)
def test_a_rule_may_wait_for_a_call_of_the_same_run(after: dict[str, Any], happened: bool) -> None:
    judged = judge(policy({**DENY, "after": after}, ALLOW), proposed(("bills.list", Effect.READ)))
    assert judged.verdict == ("deny" if happened else "allow")
    assert judge(policy({**DENY, "after": after}, ALLOW), proposed()).verdict == "allow"


def test_a_tool_that_nobody_knows_any_more_could_have_had_any_effect() -> None:
    assert matches(Happened(effects=(Effect.READ,)), "gone.tool", None)


def test_a_rule_that_waits_for_something_is_asked_again_at_the_moment_of_effect() -> None:
    assert policy(AFTER).depends_on_moment("bills.pay", Effect.WRITE)
    assert policy({**DENY, "at_most": {"count": 1}}).depends_on_moment("bills.pay", Effect.WRITE)


THREE: dict[str, Any] = {**DENY, "id": "three", "at_most": {"count": 3, "per": "args.currency"}}


def wanted(rule: dict[str, Any], given: ProposedCall) -> Any:
    with pytest.raises(PlacesWanted) as asked:
        judge(policy(rule, ALLOW), given)
    (want,) = asked.value.wants
    return want


def test_a_limit_across_runs_asks_for_a_place_before_it_judges() -> None:
    want = wanted(THREE, proposed(counts=True))
    assert (want.call_id, want.takes, want.limit) == (ONE, True, 3)
    for rank, verdict in ((1, "allow"), (3, "allow"), (None, "deny")):
        places = {want.tally: Place(rank=rank, others=True)}
        judged = judge(policy(THREE, ALLOW), proposed(counts=True, places=places))
        assert (judged.verdict, judged.places) == (verdict, {"three": want.tally})


def test_each_value_period_rule_and_environment_is_counted_for_itself() -> None:
    first = wanted(THREE, proposed(counts=True)).tally
    others = {
        wanted(THREE, call(arguments={"currency": "USD"}, past=Past(call_id=ONE, counts=True))).tally,
        wanted({**THREE, "id": "other"}, proposed(counts=True)).tally,
        wanted({**THREE, "at_most": {**THREE["at_most"], "period": "month"}}, proposed(counts=True)).tally,
        wanted({**THREE, "at_most": {**THREE["at_most"], "within": "run"}}, proposed(counts=True)).tally,
        wanted(THREE, proposed(counts=True, environment="env_test")).tally,
    }
    assert len(others - {first}) == 5


@pytest.mark.parametrize("value", [None, "", 1.5, float("nan"), [1], {"a": 1}, 2**64])
def test_what_cannot_be_counted_by_denies(value: Any) -> None:
    given = call(arguments={"currency": value}, past=Past(call_id=ONE, counts=True))
    assert said(judge(policy(THREE, ALLOW), given)) == ("deny", "three")
    missing = call(arguments={}, past=Past(call_id=ONE, counts=True))
    assert said(judge(policy(THREE, ALLOW), missing)) == ("deny", "three")


def test_more_than_so_many_may_need_people_instead() -> None:
    rule = {"id": "many", "verdict": "require_approval", "at_most": {"count": 1, "within": "tenant"}}
    want = wanted(rule, proposed(counts=True))
    assert want.limit is None
    second = proposed(counts=True, places={want.tally: Place(rank=2, others=True)})
    assert said(judge(policy(rule, ALLOW), second)) == ("require_approval", "many")


def test_a_call_that_is_denied_anyway_takes_no_place() -> None:
    assert said(judge(policy(THREE, {**DENY, "id": "never"}), proposed(counts=True))) == ("deny", "never")


def test_nothing_is_asked_where_nothing_is_counted() -> None:
    assert judge(policy(THREE, ALLOW), proposed(counts=False)).verdict == "allow"


def known(deciding: Policy, other: Policy, given: ProposedCall, **answers: Place) -> tuple[Judgement, list[Want]]:
    """What is said once each question has its answer by the name of the rule; and the questions."""
    wants: list[Want] = []
    while True:
        try:
            return judge_both(deciding, tried_beside(deciding, other), given), wants
        except PlacesWanted as asked:
            wants += asked.wants
            told = {want.tally: answers[want.rule_id.replace(":", "_")] for want in asked.wants}
            given = replace(given, past=replace(given.past, places={**given.past.places, **told}))


def test_a_rule_that_is_only_tried_counts_for_itself() -> None:
    deciding, tried = policy(ALLOW), policy(THREE, ALLOW)
    said_, (want,) = known(deciding, tried, proposed(counts=True), tried_three=Place(rank=4, others=True))
    assert said_.trial is not None
    assert (said_.verdict, said_.trial.verdict, said_.trial.rule_id) == ("allow", "deny", "three")
    assert (want.takes, want.tally != wanted(THREE, proposed(counts=True)).tally) == (True, True)
    assert said_.places == {"tried:three": want.tally}


def test_a_rule_that_decides_and_is_tried_is_counted_once() -> None:
    rule = {**THREE, "verdict": "require_approval"}
    given = proposed(counts=True)
    said_, (want,) = known(policy(rule, ALLOW), policy(rule, ALLOW, {"id": "x", "risk": 1}), given, three=PLACE)
    assert said_.trial is not None
    assert (said_.trial.verdict, said_.places) == ("allow", {"three": want.tally})
    changed = {**rule, "at_most": {**THREE["at_most"], "count": 1}}
    other, wants = known(policy(rule, ALLOW), policy(changed, ALLOW), given, three=PLACE, tried_three=PLACE)
    assert other.trial is not None
    assert (other.verdict, other.trial.verdict, len({want.tally for want in wants})) == (
        "allow",
        "require_approval",
        2,
    )


def test_what_is_tried_looks_where_a_denied_call_takes_no_place() -> None:
    given = proposed(counts=True)
    said_, (want,) = known(policy(THREE, {**DENY, "id": "never"}), policy(THREE, ALLOW), given, three=PLACE)
    assert said_.trial is not None
    assert (said_.verdict, said_.trial.verdict, dict(said_.places)) == ("deny", "allow", {"three": want.tally})
    assert (want.takes, want.ahead) == (False, True)


def test_what_is_waited_for_in_a_session_is_marked_by_one_call_and_found_by_another() -> None:
    rule = {**DENY, "tools": ["bills.pay"], "after": {"tools": ["bills.list"], "within": "session"}}
    reading = call(
        "bills.list", Effect.READ, past=Past(call_id=CallId("tcl_2-1"), run_id="run_2", session="s", counts=True)
    )
    mark = wanted(rule, reading)
    assert (mark.takes, mark.limit) == (True, None)
    look = wanted(rule, proposed(counts=True, session="s"))
    assert (look.takes, look.tally) == (False, mark.tally)
    assert wanted(rule, proposed(counts=True, session="other")).tally != mark.tally
    found = proposed(counts=True, session="s", places={mark.tally: Place(rank=None, others=True)})
    assert said(judge(policy(rule, ALLOW), found)) == ("deny", "deny")
    nothing = proposed(counts=True, session="s", places={mark.tally: Place(rank=None, others=False)})
    assert said(judge(policy(rule, ALLOW), nothing)) == ("allow", "allow")


def take(state: Tally, number: int, limit: int | None = 2) -> Tally:
    for event in decide(TakePlace(call_id=CallId(f"c{number}"), rule_id="r", limit=limit), state):
        state = evolve(state, event)
    return state


def test_a_tally_gives_each_call_one_place_and_none_beyond_its_limit() -> None:
    state = take(take(take(take(Tally(), 1), 1), 2), 3)
    assert [state.rank(CallId(f"c{number}")) for number in (1, 2, 3)] == [1, 2, None]
    assert decide(TakePlace(call_id=CallId("c3"), rule_id="r"), state) == [
        PlaceTaken(call_id=CallId("c3"), rule_id="r")
    ]
    (back,) = decide(ReturnPlace(call_id=CallId("c1")), state)
    state = take(evolve(state, back), 3)
    assert [state.rank(CallId(f"c{number}")) for number in (1, 2, 3)] == [None, 1, 2]
    assert decide(ReturnPlace(call_id=CallId("c1")), state) == []


def test_a_past_call_is_told_the_rank_that_it_had_and_another_the_one_that_it_would_have_had() -> None:
    history = [taken(5, "c1"), taken(7, "c2"), returned(8, "c1"), taken(9, "c3")]

    def rank(call_id: str, through: int, limit: int | None = None) -> int | None:
        want = Want(tally="tal_x", call_id=CallId(call_id), rule_id="r", takes=True, limit=limit)
        return place_as_of(history, want, through).rank

    assert [rank("c2", through) for through in (7, 8, 9)] == [2, 2, 2]
    assert [rank("c4", through) for through in (4, 5, 7, 8, 9)] == [1, 2, 3, 2, 3]
    assert (rank("c4", 9, limit=2), rank("c1", 9), rank("c1", 6)) == (None, 3, 1)


def taken(sequence: int, call_id: str) -> Recorded[TallyEvent]:
    return recorded(sequence, PlaceTaken(call_id=CallId(call_id), rule_id="r"))


def returned(sequence: int, call_id: str) -> Recorded[TallyEvent]:
    return recorded(sequence, PlaceReturned(call_id=CallId(call_id)))


def recorded(sequence: int, event: TallyEvent) -> Recorded[TallyEvent]:
    return Recorded(LogSequence(sequence), commit_of(event, tally_stream(TENANT, "tal_x")), b"")


def test_counting_the_past_again_gives_each_call_the_next_place_until_it_is_given_back() -> None:
    recount = Recount(most=2)
    want = Want(tally="tal_x", call_id=CallId("c9"), rule_id="r", takes=True, limit=2)
    for call_id in ("c1", "c2", "c2"):
        recount.take(CallId(call_id), ["tal_x"])
    assert recount.answers([want]) == {"tal_x": Place(rank=None, others=True)}
    recount.give_back(CallId("c1"))
    assert recount.answers([want]) == {"tal_x": Place(rank=2, others=True)}
    assert not recount.full
    recount.take(CallId("c3"), ["tal_x", "tal_y"])
    assert recount.full


def test_an_explanation_says_of_each_rule_whether_the_past_makes_it_apply() -> None:
    once = {**DENY, "id": "once", "at_most": {"count": 1}}
    asked = call(past=Past(call_id=ONE, counts=True))
    with pytest.raises(PlacesWanted) as wants:
        explain(policy(once, THREE, ALLOW), asked)
    told = {want.tally: Place(rank=2 if want.rule_id == "three" else None, others=True) for want in wants.value.wants}
    found = explain(policy(once, THREE, ALLOW), replace(asked, past=replace(asked.past, places=told)))
    assert {rule.rule_id: rule.standing for rule in found.rules} == {
        "once": "applies",
        "three": "past_is_otherwise",
        "allow": "applies",
    }
    assert (found.decided_by, found.counted_in) == ("once", {})


def test_periods_are_those_of_the_calendar() -> None:
    day = {**DENY, "id": "d", "at_most": {"count": 1, "period": "day"}}
    past = Past(call_id=ONE, counts=True)
    today = wanted(day, call(past=past)).tally
    assert wanted(day, replace(call(past=past), now=T0 + timedelta(hours=1))).tally == today
    assert wanted(day, replace(call(past=past), now=T0 + timedelta(days=1))).tally != today
