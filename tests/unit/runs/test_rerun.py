"""A run that is decided again comes out as it did; under other rules the first event that differs is named."""

from typing import Any

import msgspec
import pytest
from fairlead_sdk import Refused
from fairlead_sdk.contract import Effect
from msgspec.structs import replace

from fairlead.domain.bundled_rules import BundledRules
from fairlead.domain.bundles import Bundle, digest_of, own_history, read_bundle, sealed
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import Sequence, StreamRef
from fairlead.domain.errors import Invalid
from fairlead.domain.explaining import Evidence, Why, why_call, why_ending
from fairlead.domain.policies import Scope
from fairlead.domain.rerun import Rerun, rerun
from fairlead.domain.runs.commands import AskCall, FinishRun
from fairlead.domain.runs.events import ToolCallRequested
from fairlead.domain.runs.states import Active
from fairlead.handling.evidence import Gathering
from fairlead.handling.governance import Governance
from tests.support.books import Books
from tests.support.connectors import tool
from tests.support.documents import EXPRESSIONS
from tests.support.platform import PAYING, Platform, ended
from tests.support.tenancy import DEFAULT, OWNER, TENANT

CODEC = Codec(EVENTS, UPCASTERS)
ASKING = {
    "rules": [
        {
            "id": "sign",
            "effects": ["write"],
            "verdict": "require_approval",
            "reason": "money leaves",
            "when": "args.amount > 3 && run.calls['bills.pay'] < 9",
        },
        {"id": "small", "effects": ["write"], "verdict": "allow", "reason": "small", "when": "args.amount <= 3"},
    ]
}
TWICE = [
    {"id": "pay", "call": "bills.pay", "with": {"number": "${ input.number }", "amount": 5}},
    {"id": "again", "call": "bills.pay", "with": {"number": "${ steps.pay.output.number }", "amount": 1}},
]


def gathering(platform: Platform) -> Gathering:
    rulebook = platform.main.rulebook
    governance = Governance(
        log=platform.log, rulebook=rulebook, policies=platform.main.known.policies, expressions=EXPRESSIONS
    )
    log, clock = platform.log, platform.clock
    return Gathering(log=log, shown=log, masked=False, rulebook=rulebook, governance=governance, clock=clock)


async def ran(books: Books | None = None, given: Any = None, **fields: Any) -> tuple[Platform, StreamRef]:
    """A platform whose run has ended."""
    books = books or Books()
    async with Platform(tool(run=books.pay), **fields).at_work() as platform:
        run = await platform.start(given)
        if "policy" in fields:
            await platform.sign(await platform.approval_of(run))
        await platform.until(run, ended)
    return platform, run


def again(bundle: Bundle, **changed: Any) -> Rerun:
    """As it can be done anywhere: by what was sent alone."""
    bundle = read_bundle(msgspec.json.encode(bundle))
    rules = BundledRules(bundle, {**bundle.workflow.document, **changed}, EXPRESSIONS)
    return rerun(own_history(bundle, CODEC), rules.at, rules.places)


@pytest.mark.parametrize(
    "fields",
    [{}, {"steps": TWICE}, {"policy": ASKING}, {"limits": {"tool_calls": 1}, "steps": TWICE}],
    ids=["one call", "two calls", "an approval", "a limit"],
)
async def test_a_run_that_is_decided_again_comes_out_as_it_did(fields: dict[str, Any]) -> None:
    platform, run = await ran(given={"number": "4711"}, **fields)
    bundle = await gathering(platform).bundle(TENANT, run.id)
    found = again(bundle)
    assert found.parted is None
    assert found.decided >= 3
    assert found.events == len(await platform.history(run))


async def test_a_run_that_an_agent_drives_from_outside_is_explained_and_decided_again_alike() -> None:
    policy = {"rules": [{"id": "all", "effects": ["write"], "verdict": "allow", "reason": "test"}]}
    async with Platform(tool(run=Books().pay), planner="outside", policy=policy).at_work() as platform:
        run = await platform.start({"number": "4711"})
        now = platform.clock.now()
        for number, name in enumerate(("bills.pay", "bills.wipe", "bills.pay")):
            arguments = {"number": str(number), "amount": 5}
            asks = AskCall(
                ask_id=f"ask_{number}", tool=name, arguments=arguments, door="mcp", principal_id=OWNER, now=now
            )
            await platform.handle(run, asks)
            await platform.until(run, lambda state: isinstance(state, Active) and not state.asks)
        await platform.handle(run, FinishRun(output={}, principal_id=OWNER, now=now))
        await platform.until(run, ended)
        bundle = await gathering(platform).bundle(TENANT, run.id)
        evidence = await gathering(platform).of_run(TENANT, run.id)
    found = again(bundle)
    assert (found.parted, found.events) == (None, len(await platform.history(run)))
    assert found.decided >= 7
    forbidding = again(bundle, policy={"rules": []})
    assert forbidding.parted is not None
    (call_id, *_) = [each.call_id for each in await platform.history(run) if isinstance(each, ToolCallRequested)]
    why = why_call(evidence, call_id)
    assert why is not None
    (asked,) = [each for each in only(why, "plan") if each.type == "tool_call.asked.v1"]
    assert (asked.facts["door"], asked.facts["asked_by"], "arguments" in asked.facts) == ("mcp", OWNER, False)


COUNTING = {"id": "often", "effects": ["write"], "verdict": "deny", "at_most": {"count": 1, "per": "args.amount"}}
BY_PERSON = {"id": "people", "verdict": "deny", "when": "!('owner' in starter.roles) || starter.kind != 'person'"}
HERE = Scope(workspace_id=DEFAULT)


async def test_a_run_under_policies_of_several_layers_that_move_is_decided_again_elsewhere_alike() -> None:
    async with Platform(tool(run=Books().pay), steps=TWICE).at_work() as platform:
        await platform.enforce(COUNTING, BY_PERSON)
        await platform.until(await platform.start({"number": "1"}), ended)
        await platform.enforce({"id": "sign", "effects": ["write"], "verdict": "require_approval"}, scope=HERE)
        await platform.enforce({**COUNTING, "at_most": {"count": 9}}, BY_PERSON)
        await platform.enforce({**COUNTING, "id": "tried"}, move="try", scope=HERE)
        run = await platform.start({"number": "2"})
        approval = await platform.approval_of(run)
        await platform.choose("lift", None, HERE)
        await platform.sign(approval)
        await platform.until(run, ended)
        bundle = await gathering(platform).bundle(TENANT, run.id)
        denied = await platform.enforce(COUNTING, BY_PERSON)
        third = await platform.start({"number": "3"})
        await platform.until(third, ended)
        other = await gathering(platform).bundle(TENANT, third.id)
        evidence = await gathering(platform).of_run(TENANT, third.id)
    assert [[layer.kind for layer in each.layers] for each in bundle.policy.in_force] == [
        ["tenant", "workspace"],
        ["tenant"],
    ]
    assert bundle.policy.in_force[0].tried is not None
    assert bundle.policy.places
    assert (again(bundle).parted, again(other).parted) == (None, None)
    layer = other.policy.in_force[0].layers[0]
    forged = replace(layer, document=layer.document | {"rules": []})
    in_force = [replace(other.policy.in_force[0], layers=[forged])]
    with pytest.raises(Invalid) as refused:
        again(sealed(replace(other, policy=replace(other.policy, in_force=in_force))))
    assert [each.code for each in refused.value.problems] == ["changed"]
    (rule,) = only(the_why(evidence, third), "rule")
    assert (rule.facts["rule_id"], rule.facts["rule"]["at_most"]["count"]) == ("tenant:often", 1)
    assert [(each["kind"], each["version"]) for each in rule.facts["layers"]] == [("tenant", denied)]
    assert [each.type for each in rule.because] == ["policy.published.v1"]


def the_why(evidence: Evidence, run: StreamRef) -> Why:
    why = why_call(evidence, f"tcl_{run.id[4:]}-1")
    assert why is not None
    return why


async def test_under_another_step_the_first_event_that_differs_is_named() -> None:
    platform, run = await ran(steps=TWICE, given={"number": "4711"})
    bundle = await gathering(platform).bundle(TENANT, run.id)
    parted = again(bundle, steps=[TWICE[0], {**TWICE[1], "with": {"number": "x", "amount": 2}}]).parted
    assert parted is not None
    recorded, decided = parted.recorded, parted.decided
    assert recorded is not None
    assert decided is not None
    assert (recorded["type"], recorded["step"]) == ("tool_call.requested.v1", "again")
    assert (recorded["arguments"]["amount"], decided["arguments"]["amount"]) == (1, 2)
    places = [
        f"{each.sequence}-{index}"
        for each in await platform.log.read(run)
        for index, event in enumerate(each.commit.events)
        if getattr(event, "step", "") == "again"
    ]
    assert parted.position == places[0]


async def test_under_another_policy_the_judgement_that_differs_is_named() -> None:
    platform, run = await ran()
    parted = again(await gathering(platform).bundle(TENANT, run.id), policy=ASKING).parted
    assert parted is not None
    assert parted.decided is not None
    assert (parted.decided["type"], parted.decided["verdict"]) == ("tool_call.judged.v1", "require_approval")


async def test_a_run_that_would_have_gone_on_parts_at_its_end() -> None:
    platform, run = await ran()
    more = [PAYING, {**PAYING, "id": "more"}]
    parted = again(await gathering(platform).bundle(TENANT, run.id), steps=more).parted
    assert parted is not None
    assert parted.recorded is not None
    assert parted.recorded["type"] == "run.completed.v1"


async def test_a_bundle_is_the_same_for_the_same_place_and_any_change_is_found() -> None:
    platform, run = await ran(policy=ASKING)
    one = await gathering(platform).bundle(TENANT, run.id)
    other = await gathering(platform).bundle(TENANT, run.id, one.through)
    assert digest_of(one) == digest_of(other)
    assert {each.kind for each in one.history} == {"run", "approval"}
    assert [each.sha256 for each in one.documents]
    body = msgspec.json.encode(one)
    assert read_bundle(body) == one
    for changed in (
        replace(one, history=one.history[:-1]),
        replace(one, tools=[]),
        replace(one, workflow=replace(one.workflow, version=9)),
        replace(one, policy=replace(one.policy, version="other")),
    ):
        with pytest.raises(Invalid) as raised:
            read_bundle(msgspec.json.encode(changed))
        assert raised.value.problems[0].code == "changed"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"format": "fairlead.bundle.v2"}', b"\xff"])
async def test_what_is_no_bundle_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        read_bundle(body)


def parts(why: Why) -> list[str]:
    return [why.part, *(part for each in why.because for part in parts(each))]


def only(why: Why, part: str) -> list[Why]:
    return [each for each in why.because if each.part == part]


async def test_an_action_goes_back_to_plan_input_results_rule_and_signatures() -> None:
    platform, run = await ran(policy=ASKING, steps=TWICE, given={"number": "4711"})
    evidence = await gathering(platform).of_run(TENANT, run.id)
    first, second = (call for call in (f"tcl_{run.id[4:]}-1", f"tcl_{run.id[4:]}-3"))
    why = why_call(evidence, first)
    assert why is not None
    (plan,) = only(why, "plan")
    assert plan.facts["step"]["call"] == "bills.pay"
    assert plan.because[0].facts["document_hash"]
    (given,) = only(why, "input")
    assert given.facts["input"] == {"number": "4711"}
    (rule,) = only(why, "rule")
    assert (rule.facts["rule_id"], rule.facts["verdict"]) == ("sign", "require_approval")
    assert rule.facts["rule"]["when"] == ASKING["rules"][0]["when"]
    assert rule.facts["values"]["args"]["amount"] == 5
    assert rule.facts["values"]["run"]["calls"] == {"bills.pay": 1}
    signatures = [each for approval in only(why, "approval") for each in approval.because if each.part == "signature"]
    assert "prn_ann" in str([each.facts for each in signatures])
    positions = {f"{each.sequence}-{index}" for each in await everything(platform) for index in range(20)}
    assert set(_positions(why)) <= positions
    later = why_call(evidence, second)
    assert later is not None
    assert [each.facts["output_sha256"] for each in only(later, "result")]
    assert [each.facts["rule_id"] for each in only(later, "rule")] == ["small"]
    assert why_call(evidence, "tcl_none-1") is None


async def everything(platform: Platform) -> list[Any]:
    async with platform.log.follow(Sequence(0)) as batches:
        return list(await anext(aiter(batches)))


def _positions(why: Why) -> list[str]:
    return [why.position, *(place for each in why.because for place in _positions(each))]


async def test_an_ending_goes_back_to_the_call_that_failed() -> None:
    books = Books()

    async def broken(_: Any) -> None:
        raise Refused("closed", "account_closed")

    books.during, books.effect_first = broken, False
    platform, run = await ran(books)
    why = why_ending(await gathering(platform).of_run(TENANT, run.id))
    assert why is not None
    assert why.type == "run.failed.v1"
    (action,) = only(why, "action")
    assert [each.type for each in only(action, "effect")] == ["tool_call.failed.v1"]
    assert "plan" in parts(why)
    assert action.facts["effect"] == Effect.WRITE
