"""A route's document, its history, and where a tenant's data may be read."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId

from fairlead.api.documents import from_yaml
from fairlead.domain.errors import Invalid
from fairlead.domain.routing import residency as r
from fairlead.domain.routing import routes as rt
from fairlead.domain.routing.checks import checked
from fairlead.domain.routing.escalating import is_unsure
from tests.support.clock import T0
from tests.support.given import Spec, given
from tests.support.routing import candidate, document

ROUTES: Spec[rt.RouteCommand, rt.RouteState, rt.RouteEvent] = Spec(rt.decide, rt.evolve, rt.initial)
RESIDENCY: Spec[r.ChangeResidency, r.ResidencyState, r.ResidencyEvent] = Spec(r.decide, r.evolve, r.initial)
ROLLOUT = {"stages": [5, 100], "gates": {"max_failure_percent": 2}}
ROLLING = document(candidate("old"), candidate("new", rollout=ROLLOUT))


def publish(found: dict[str, Any], **fields: Any) -> rt.PublishRoute:
    said: dict[str, Any] = {"reason": "Because.", "now": T0} | fields
    return rt.PublishRoute(name="cheap", document=found, **said)


def move(share: int, version: int = 1) -> rt.MoveRollout:
    return rt.MoveRollout(version=version, candidate="new", share=share, now=T0, calls=50, code="kept_to_gates")


def problems(found: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        checked(found)
    return {problem.path: problem.code for problem in refused.value.problems}


def test_every_fault_of_a_document_is_named_with_its_path() -> None:
    assert problems(document(candidate("a", tier=10), extra=1)) == {
        "/candidates/0/tier": "out_of_bounds",
        "/extra": "unknown_field",
    }
    twins = document(candidate("a", regions=["eu"]), candidate("a", regions=["us"]), regions=["eu"], escalation={})
    assert problems(twins) == {
        "/candidates/1/id": "candidate_repeated",
        "/candidates/1/regions/0": "region_not_allowed",
        "/escalation": "nowhere_to_escalate",
    }
    rolled = {"stages": [5, 5], "gates": {"max_call_usd_micros": 1}}
    assert problems(document(candidate("a", rollout=rolled), candidate("b", tier=1, rollout=ROLLOUT))) == {
        "/candidates/0/rollout": "rollout_alone",
        "/candidates/0/rollout/stages": "stages_not_rising",
        "/candidates/0/rollout/gates/max_call_usd_micros": "gate_unmeasured",
        "/candidates/1/rollout": "rollout_alone",
    }


def test_the_example_in_the_guide_is_a_route() -> None:
    guide = Path(__file__).parents[3] / "docs" / "how-to" / "route-models.md"
    examples = re.findall(r"^```yaml\n(.*?)^```", guide.read_text(), re.MULTILINE | re.DOTALL)
    whole, rollout, cache = (from_yaml(example.encode()) for example in examples)
    checked(whole | cache | {"candidates": whole["candidates"] + rollout})


def test_only_one_candidate_of_a_tier_is_rolled_out_at_once() -> None:
    found = document(candidate("a"), candidate("b", rollout=ROLLOUT), candidate("c", rollout=ROLLOUT))
    assert problems(found) == {"/candidates/2/rollout": "two_rollouts"}


def test_a_version_is_added_once_and_only_by_who_saw_the_one_before() -> None:
    first = given(ROUTES).after(publish(document(candidate("a"))))
    assert first.when(publish(document(candidate("a")))) == []
    (event,) = first.when(publish(document(candidate("b")), expected_version=1))
    assert isinstance(event, rt.RoutePublished)
    assert (event.version, event.name, event.published_at) == (2, "cheap", T0)
    with pytest.raises(rt.RouteVersionMismatch):
        first.when(publish(document(candidate("b")), expected_version=0))


def test_a_retired_route_is_published_again_with_the_same_document() -> None:
    retired = given(ROUTES).after(publish(document(candidate("a"))), rt.RetireRoute(reason="Too dear."))
    assert retired.when(rt.RetireRoute(reason="Too dear.")) == []
    assert len(retired.when(publish(document(candidate("a"))))) == 1
    with pytest.raises(rt.NoSuchRoute):
        given(ROUTES).when(rt.RetireRoute(reason="Too dear."))


def test_a_rollout_moves_on_and_back_and_only_of_the_newest_version() -> None:
    published = given(ROUTES).after(publish(ROLLING))
    (event,) = published.when(move(100))
    assert isinstance(event, rt.RolloutMoved)
    assert (event.before, event.share, event.move) == (5, 100, "advanced")
    assert published.when(move(100, version=2)) == []
    assert published.when(move(5)) == []
    back = published.after(move(0))
    assert isinstance(back.state, rt.Published)
    assert back.state.route.shares == {"new": 0}
    assert back.when(move(5)) == []


def test_a_share_stays_while_its_candidate_does_and_begins_anew_after_it_was_rolled_back() -> None:
    published = given(ROUTES).after(publish(ROLLING), move(100))
    kept = published.after(publish(ROLLING | {"title": "Another"})).state
    assert isinstance(kept, rt.Published)
    assert (kept.shares, kept.since) == ({"new": 100}, {"new": T0})
    other = document(candidate("old"), candidate("new", model="other", rollout=ROLLOUT))
    changed = published.after(publish(other)).state
    assert isinstance(changed, rt.Published)
    assert changed.shares == {}
    again = published.after(move(0), publish(ROLLING)).state
    assert isinstance(again, rt.Published)
    assert (again.version, again.shares) == (2, {})


def change(regions: tuple[str, ...] | None, **fields: Any) -> r.ChangeResidency:
    said: dict[str, Any] = {"providers": None, "reason": "The law.", "by": PrincipalId("prn_ann"), "now": T0} | fields
    return r.ChangeResidency(regions=regions, **said)


def test_regions_and_providers_are_named_and_anything_is_allowed_before() -> None:
    assert r.initial().residency.regions is None
    changed = given(RESIDENCY).after(change(("us", "eu", "eu"), providers=()))
    assert changed.state.residency.regions == frozenset({"eu", "us"})
    assert changed.state.residency.providers == frozenset()
    assert changed.when(change(("eu", "us"), providers=(), now=T0 + timedelta(days=1))) == []
    with pytest.raises(r.ResidencyMoved):
        changed.when(change(None, expected_version=0))
    with pytest.raises(Invalid):
        changed.when(change(tuple(f"r{number}" for number in range(r.MAX_NAMED + 1))))


def test_an_answer_is_unsure_when_it_says_so_or_does_not_say() -> None:
    plain = checked(document(candidate("a"), candidate("b", tier=1), escalation={}))
    assert not is_unsure(plain, {"how": {"sure": 0}})
    rules = {"confidence_at": "/how/sure", "min_confidence": 0.7}
    found = checked(document(candidate("a"), candidate("b", tier=1), escalation=rules))
    assert not is_unsure(found, {"how": {"sure": 0.7}})
    for unsure in ({"how": {"sure": 0.69}}, {"how": {"sure": True}}, {"how": 1}, ["no object"], None):
        assert is_unsure(found, unsure)
