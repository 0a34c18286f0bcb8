"""Ways around a policy: other spellings, other numbers, keys that stand twice. Each is closed."""

from typing import Any

import pytest
from fairlead_tenants.ids import TenantId, WorkspaceId

from fairlead.api.bodies import has_key_twice
from fairlead.domain.errors import Invalid
from fairlead.domain.expressions import ExpressionInvalid
from fairlead.domain.ids import CallId, RunId
from fairlead.domain.policies import Scope, policy_id
from fairlead.domain.policy.checks import checked
from fairlead.domain.policy.judge import judge
from fairlead.domain.policy.proposed import RunSoFar
from fairlead.domain.policy.sequences import Past
from fairlead.domain.tallies import PlacesWanted
from tests.support.documents import EXPRESSIONS
from tests.support.tenancy import TENANT
from tests.unit.policy.test_judge import ALLOW, DENY, call, policy, said
from tests.unit.policy.test_layers import compiled, layer

COUNTED: dict[str, Any] = {**DENY, "id": "one", "at_most": {"count": 1, "per": "args.customer"}}


def tally_of(customer: Any) -> str:
    given = call(arguments={"customer": customer}, past=Past(call_id=CallId("tcl_1-1"), counts=True))
    with pytest.raises(PlacesWanted) as asked:
        judge(policy(COUNTED, ALLOW), given)
    return asked.value.wants[0].tally


@pytest.mark.parametrize(
    "spelling",
    [
        "Zoe\u0308",
        "ZO\u00cb",
        "\uff3ao\u00eb",
        "Zo\u00eb\u200b",
        "\u2060Zo\u00eb",
        "Zo\u00eb ",
        "Zo\u00ad\u00eb",
        "Z\u043e\u00eb",
    ],
)
def test_another_spelling_of_a_name_is_counted_as_the_same(spelling: str) -> None:
    assert tally_of(spelling) == tally_of("Zo\u00eb")
    assert tally_of("Zoe") != tally_of("Zo\u00eb")


def test_a_text_that_the_engine_would_cut_off_is_denied_and_not_compared() -> None:
    safe = {"id": "safe", "verdict": "allow", "when": "args.account == 'safe'"}
    assert said(judge(policy(safe), call(arguments={"account": "safe"}))) == ("allow", "safe")
    for arguments in ({"account": "safe\x00not"}, {"account": "\x00"}, {"account\x00": "safe"}):
        assert said(judge(policy(safe), call(arguments=arguments))) == ("deny", "safe")
    backslashes = {"account": "safe", "path": "C:\\u0000"}
    assert said(judge(policy(safe), call(arguments=backslashes))) == ("allow", "safe")


@pytest.mark.parametrize(
    "spelling", ["Zoe\u0308", "\uff3ao\u00eb", "Zo\u00eb\u200b", "Z\u043e\u00eb", "\u202eZo\u00eb"]
)
def test_what_forbids_knows_every_spelling_and_what_allows_only_its_own(spelling: str) -> None:
    forbids = {**DENY, "when": "args.customer == 'Zo\u00eb'"}
    allows = {**ALLOW, "when": "args.customer == 'Zo\u00eb'"}
    for given in (call(arguments={"customer": spelling}), call(arguments={"customer": "x", "note": spelling})):
        hits = given.arguments["customer"] == spelling
        assert judge(policy(forbids, ALLOW), given).verdict == ("deny" if hits else "allow")
        assert judge(policy(allows), given).verdict == "require_approval"
    about = {**DENY, "when": "run.input.who == 'Zo\u00eb'"}
    run = RunSoFar(id=RunId("run_1"), input={"who": spelling}, workflow="w", version=1, calls={})
    assert judge(policy(about, ALLOW), call(run=run)).verdict == "deny"


@pytest.mark.parametrize("nothing", ["\u200b", " ", "\u2060\x00"])
def test_a_name_that_nobody_sees_is_no_name(nothing: str) -> None:
    given = call(arguments={"customer": nothing}, past=Past(call_id=CallId("tcl_1-1"), counts=True))
    assert said(judge(policy(COUNTED, ALLOW), given)) == ("deny", "one")


def test_a_whole_number_is_counted_alike_with_and_without_a_point_and_not_as_text() -> None:
    assert tally_of(7) == tally_of(7.0)
    assert len({tally_of(7), tally_of("7"), tally_of(True), tally_of(1)}) == 4


@pytest.mark.parametrize(
    "tool", ["bills.p\u0430y", "bills.pay\u200b", "\uff42ills.pay", "Bills.pay", "bills.pay ", "bills..pay"]
)
def test_a_tool_that_only_looks_like_an_allowed_one_is_not_on_the_list(tool: str) -> None:
    assert said(judge(policy(ALLOW), call(tool))) == ("deny", "default.not_on_allow_list")
    rule = {"id": "a", "verdict": "deny", "reason": "r", "tools": [tool]}
    with pytest.raises(Invalid):
        checked({"fairlead_policy": 1, "rules": [rule]}, EXPRESSIONS)


@pytest.mark.parametrize(
    "amount", ["50", "5e1", " 50", "\u0665\u0660", True, [50], {"value": 50}, None, 2**64, -(2**70)]
)
def test_what_only_looks_like_a_small_number_is_denied(amount: Any) -> None:
    small = {"id": "small", "verdict": "allow", "when": "args.amount <= 50"}
    assert said(judge(policy(small), call(arguments={"amount": amount}))) == ("deny", "small")


@pytest.mark.parametrize("when", ["true), (true", "true\n), (true", "true // ", "true /*", "[true, true]", "'a'", "1"])
def test_a_condition_cannot_reach_out_of_itself_into_another(when: str) -> None:
    rules = [
        {"id": "odd", "verdict": "deny", "when": when},
        {"id": "two", "verdict": "deny", "when": "args.amount > 1000"},
        {"id": "three", "verdict": "allow", "when": "args.amount > 0"},
    ]
    try:
        compiled = policy(*rules)
    except ExpressionInvalid:
        return
    assert said(judge(compiled, call())) == ("deny", "odd")


def test_of_many_rules_the_one_that_holds_or_fails_is_named_wherever_it_stands() -> None:
    """Those that restrict are first asked whether any of them holds, and none that does hides an error of another."""
    for place in (0, 7, 399):
        quiet = [{"id": f"q{number}", "verdict": "deny", "when": "args.amount<0"} for number in range(400)]
        holds = [*quiet[:place], {"id": "odd", "verdict": "deny", "when": "args.amount>0"}, *quiet[place:]]
        assert said(judge(compiled(layer("tenant", *holds, ALLOW)), call())) == ("deny", "tenant:odd")
        fails = [*quiet[:place], {"id": "odd", "verdict": "deny", "when": "args.gone>0"}, *quiet[place:]]
        assert said(judge(compiled(layer("tenant", *fails, ALLOW)), call())) == ("deny", "tenant:odd")
    both = [
        {"id": "fails", "verdict": "require_approval", "when": "args.gone>0"},
        {"id": "holds", "verdict": "require_approval", "when": "args.amount>0"},
    ]
    assert said(judge(policy(*both), call())) == ("deny", "fails")
    assert said(judge(policy(*reversed(both)), call())) == ("deny", "fails")


def test_a_key_that_stands_twice_is_found_at_any_depth() -> None:
    assert has_key_twice(b'{"rules": [], "rules": [1]}')
    assert has_key_twice(b'{"rules": [{"when": "false", "wh\\u0065n": "true"}]}')
    assert not has_key_twice(b'{"a": {"b": 1}, "b": [{"b": 2}, {"b": 3}]}')


def test_a_scope_of_one_tenant_is_never_that_of_another() -> None:
    mine = policy_id(TENANT, Scope(workspace_id=WorkspaceId("wsp_1"), workflow="pay"))
    theirs = policy_id(TenantId("tnt_other"), Scope(workspace_id=WorkspaceId("wsp_1"), workflow="pay"))
    assert mine != theirs
