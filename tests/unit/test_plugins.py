"""Loading connectors: only the allowed ones, and a broken one alone."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import NoReturn

import pytest
from fairlead_sdk.hookspecs import ENTRY_POINT_GROUP, Register

from fairlead.adapters.plugins import BrokenConnector, Connectors, load_connectors, third_party
from tests.support.connectors import BillsConnector, Install, installer, manifest, tool

TRUSTED = ("bills", "mail")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    return installer(monkeypatch)


def bills(register: Register) -> None:
    register(BillsConnector(manifest()))


def mail(register: Register) -> None:
    register(BillsConnector(manifest(tool("mail.send"), name="mail", settings=("host", "port"))))


def reasons(connectors: Connectors) -> dict[str, str]:
    return {broken.name: broken.reason for broken in connectors.broken}


def test_only_allowed_names_are_loaded(install: Install) -> None:
    connectors = load_connectors(["bills"], trusted=TRUSTED, installed=[install("bills", bills), install("mail", mail)])
    assert list(connectors.catalogue) == ["bills.pay"]
    assert connectors.versions == {"bills": "1.2.3"}
    assert connectors.broken == ()


def test_a_tool_is_found_by_name(install: Install) -> None:
    connectors = load_connectors(["bills"], trusted=TRUSTED, installed=[install("bills", bills)])
    found = connectors.tool("bills.pay", "tnt_1")
    assert found is not None
    assert found.name == "bills.pay"
    assert connectors.tool("bills.burn", "tnt_1") is None


def test_a_connector_sees_its_own_settings_and_only_those_it_names(install: Install) -> None:
    settings = {"mail": {"host": "smtp", "password": "x"}, "bills": {"host": "other"}}
    connectors = load_connectors(
        ["mail", "bills"], settings, [install("mail", mail), install("bills", bills)], trusted=TRUSTED
    )
    assert connectors.settings_of("mail.send") == {"host": "smtp"}
    assert connectors.settings_of("bills.pay") == {}
    assert connectors.settings_of("nobody.home") == {}


def raises_secret(register: Register) -> NoReturn:
    raise RuntimeError("password=hunter2")


def leaves(register: Register) -> NoReturn:
    sys.exit(3)


def nothing(register: Register) -> None:
    pass


def twice(register: Register) -> None:
    bills(register)
    bills(register)


def incomplete(register: Register) -> None:
    register(BillsConnector(manifest(tool(description=""), tool("bills.list", timeout_s=0))))


def wrong_parameters(register_it: Register) -> None:
    pass


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (raises_secret, "loading it raised RuntimeError in line "),
        (leaves, "loading it raised SystemExit in line "),
        (nothing, "it registers 0 connectors, not one"),
        (twice, "it registers 2 connectors, not one"),
        (mail, "it registers 'mail', which is not its name"),
        (incomplete, "bills.pay: the description is empty (description); bills.list: timeout_s"),
        (wrong_parameters, "it implements a hook that does not exist, or with other parameters"),
        (lambda register: register("no connector"), "loading it raised AttributeError"),
    ],
)
def test_a_broken_connector_is_listed_and_the_others_work(
    install: Install, hook: Callable[[Register], None], reason: str
) -> None:
    installed = [install("bills", hook), install("mail", mail)]
    connectors = load_connectors(["bills", "mail"], trusted=TRUSTED, installed=installed)
    assert list(connectors.catalogue) == ["mail.send"]
    assert reasons(connectors)["bills"].startswith(reason)
    assert "hunter2" not in reasons(connectors)["bills"]


def test_a_misspelt_hook_is_noticed(install: Install) -> None:
    connectors = load_connectors(
        ["bills"], trusted=TRUSTED, installed=[install("bills", bills, hook_name="register_conectors")]
    )
    assert reasons(connectors) == {"bills": "it implements a hook that does not exist, or with other parameters"}


def test_a_connector_that_cannot_be_imported_is_broken() -> None:
    missing = EntryPoint(name="bills", value="fairlead_not_there", group=ENTRY_POINT_GROUP)
    assert "ModuleNotFoundError" in reasons(load_connectors(["bills"], trusted=TRUSTED, installed=[missing]))["bills"]


def test_an_allowed_connector_that_is_not_installed_is_broken() -> None:
    assert reasons(load_connectors(["bills"], trusted=TRUSTED, installed=[])) == {"bills": "not installed"}


def test_two_packages_cannot_share_a_name(install: Install) -> None:
    other = EntryPoint(name="bills", value="fairlead_impostor", group=ENTRY_POINT_GROUP)
    connectors = load_connectors(["bills"], trusted=TRUSTED, installed=[install("bills", bills), other])
    assert reasons(connectors) == {"bills": "more than one installed package offers this name"}


def test_other_peoples_connectors_are_not_imported(install: Install) -> None:
    def hook(register: Register) -> NoReturn:
        raise AssertionError("its code ran here")

    entry = install("bills", hook)
    packages, lost = third_party(["bills"], [entry])
    assert (packages, list(lost)) == ([], ["bills"])  # a module without a file cannot be handed to a sandbox
    assert reasons(load_connectors(["bills"], installed=[entry])) == {
        "bills": "it runs in a sandbox only, and there is none"
    }
    why = {"bills": "nothing holds here"}
    assert reasons(load_connectors(["bills"], installed=[entry], contained=why)) == why


def test_what_ships_with_the_platform_needs_no_sandbox() -> None:
    assert third_party(["basics", "invoices"]) == ([], {})


def test_the_built_in_connectors_are_installed_and_whole() -> None:
    connectors = load_connectors(["basics", "invoices"])
    assert connectors.broken == ()
    assert set(connectors.versions) == {"basics", "invoices"}


def desk(version: str) -> BillsConnector:
    return BillsConnector(manifest(tool("desk.open"), name="desk", version=version, settings=("url",)))


def test_versions_of_the_catalogue_stand_side_by_side_and_nobody_uses_them_unasked() -> None:
    connectors = Connectors([BillsConnector(manifest())], settings={"desk": {"url": "u", "password": "x"}})
    connectors.take({}, [desk("1.0.0"), desk("2.0.0")], [BrokenConnector("desk", "no", "3.0.0")])
    assert connectors.versions == {"bills": "1.2.3"}
    assert list(connectors.catalogue) == ["bills.pay"]
    assert [(each.name, each.versions, each.by_default) for each in connectors.offers] == [
        ("bills", ("1.2.3",), True),
        ("desk", ("1.0.0", "2.0.0"), False),
    ]
    for version in ("1.0.0", "2.0.0"):
        catalogue = connectors.catalogue_of({"desk": version})
        assert [(name, facts.version) for name, facts in catalogue.items()] == [("desk.open", version)]
        found = connectors.manifest_at("desk", version)
        assert found is not None
        assert found.version == version
    assert connectors.tool("desk.open", "tnt_1", "1.0.0") is not None
    assert connectors.tool("desk.open", "tnt_1", "3.0.0") is None
    assert connectors.tool("desk.open", "tnt_1") is None
    assert connectors.settings_of("desk.open", "2.0.0") == {"url": "u"}
    assert connectors.catalogue_of({"desk": "3.0.0", "bills": "1.2.3"}).keys() == {"bills.pay"}


def test_what_is_taken_next_takes_the_place_of_what_was_there() -> None:
    connectors = Connectors([BillsConnector(manifest())])
    connectors.take({}, [desk("1.0.0")], [])
    before = connectors.offers
    connectors.take({}, [], [BrokenConnector("desk", "no", "1.0.0")])
    assert connectors.offers is not before
    assert connectors.tool("desk.open", "tnt_1", "1.0.0") is None
    assert [each.name for each in connectors.broken] == ["desk"]
    assert connectors.tool("bills.pay", "tnt_1") is not None
