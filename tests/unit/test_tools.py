"""The catalogue of tools: what it tells, and what it refuses."""

import msgspec
import pytest
from fairlead_sdk import Effect

from fairlead.domain.tools import MAX_PROBLEMS, ToolCatalogue, facts_of, schema_hash
from tests.support.connectors import Bill, manifest, tool

FACTS = facts_of(manifest(), tool(timeout_s=7.0, scopes=("pay",), calls_per_minute=5))
CATALOGUE = ToolCatalogue([FACTS])
GOOD = {"number": "B-1", "amount": 5}


def test_facts_hold_everything_a_caller_chooses_by() -> None:
    said = msgspec.json.decode(msgspec.json.encode(FACTS))
    assert said["name"] == "bills.pay"
    assert said["connector"] == "bills"
    assert said["version"] == "1.2.3"
    assert (said["effect"], said["writes"], said["scopes"]) == ("write", ["payment"], ["pay"])
    assert (said["timeout_s"], said["calls_per_minute"]) == (7.0, 5)
    assert said["input_schema"]["$ref"] == "#/$defs/Bill"
    assert (said["has_verify"], said["has_preview"]) == (False, False)


def test_tools_are_listed_by_name() -> None:
    catalogue = ToolCatalogue(facts_of(manifest(), tool(name)) for name in ("bills.pay", "bills.erase", "bills.list"))
    assert list(catalogue) == ["bills.erase", "bills.list", "bills.pay"]
    assert len(catalogue) == 3
    assert catalogue["bills.list"].effect is Effect.WRITE
    assert "bills.burn" not in catalogue


def test_the_schema_hash_ignores_the_order_of_keys_and_nothing_else() -> None:
    takes, gives = {"type": "object", "title": "T"}, {"type": "string"}
    assert schema_hash({"title": "T", "type": "object"}, gives) == schema_hash(takes, gives)
    assert schema_hash(gives, takes) != schema_hash(takes, gives)
    assert schema_hash({**takes, "title": "U"}, gives) != schema_hash(takes, gives)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"number": "B-1"}, "/amount"),
        ({**GOOD, "amount": "4111-secret"}, "/amount"),
        ({**GOOD, "a/b~c": 1}, "/a~1b~0c"),
        ([], ""),
        (None, ""),
        ({**GOOD, "amount": float("nan")}, "/amount"),
        ({**GOOD, "amount": object()}, ""),
        ({1: 2}, ""),
    ],
)
def test_faults_are_named_by_their_place_and_never_repeat_a_value(given: object, path: str) -> None:
    for problems in (CATALOGUE.argument_problems("bills.pay", given), CATALOGUE.output_problems("bills.pay", given)):
        assert path in [problem.path for problem in problems]
        assert not any("secret" in problem.message for problem in problems)


def test_what_fits_has_no_problems() -> None:
    assert CATALOGUE.argument_problems("bills.pay", GOOD) == []
    assert CATALOGUE.output_problems("bills.pay", GOOD) == []


def test_a_flood_of_faults_is_cut_short() -> None:
    class Many(msgspec.Struct, forbid_unknown_fields=True):
        numbers: list[int]

    catalogue = ToolCatalogue([facts_of(manifest(), tool(input=Many))])
    assert len(catalogue.argument_problems("bills.pay", {"numbers": ["x"] * 10_000})) == MAX_PROBLEMS


@pytest.mark.parametrize("reference", ["https://schemas.example/bill.json", "file:///etc/passwd", "#/nowhere"])
def test_a_schema_that_leads_elsewhere_is_refused_unread(reference: str) -> None:
    with pytest.raises(ValueError, match=r"refer|exist"):
        ToolCatalogue([msgspec.structs.replace(FACTS, input_schema={"$ref": reference})])


def test_arguments_that_pass_become_the_tools_own_type() -> None:
    assert msgspec.convert(GOOD, Bill) == Bill(number="B-1", amount=5)
