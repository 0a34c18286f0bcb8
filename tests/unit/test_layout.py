"""The map of the folders, kept true: each failure names what is missing or out of place."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("platform", "tenants", "connectors")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
IMPORT_LINTER = PROJECT["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract for contract in IMPORT_LINTER["contracts"]}
PACKAGES = {
    package.name: package.relative_to(ROOT).as_posix()
    for source_root in SOURCE_ROOTS
    for package in (ROOT / source_root).glob("fairlead*")
    if (package / "__init__.py").exists()
}
CONNECTORS = sorted(
    set(PACKAGES) - {"fairlead", "fairlead_ledger", "fairlead_sandbox", "fairlead_tenants", "fairlead_sdk"}
)


@pytest.mark.parametrize("source_root", SOURCE_ROOTS)
def test_a_source_root_is_not_a_package(source_root: str) -> None:
    """`platform/__init__.py` would hide the standard library's module of that name."""
    assert not (ROOT / source_root / "__init__.py").exists()


@pytest.mark.parametrize("source_root", SOURCE_ROOTS)
def test_no_test_lives_under_a_source_root(source_root: str) -> None:
    found = [*(ROOT / source_root).rglob("test_*.py"), *(ROOT / source_root).rglob("conftest.py")]
    template = ROOT / "connectors" / "template"  # a project of its own, with its tests
    assert [path.relative_to(ROOT).as_posix() for path in found if not path.is_relative_to(template)] == []


def test_no_file_is_named_after_nothing() -> None:
    empty = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "base.py", "misc.py"}
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in (*SOURCE_ROOTS, "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path.name in empty
    ]
    assert found == []


def test_every_folder_of_code_is_a_package() -> None:
    bare = {
        path.parent.relative_to(ROOT).as_posix()
        for package in PACKAGES.values()
        for path in (ROOT / package).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert bare == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_ships_in_the_wheel(package: str) -> None:
    assert PACKAGES[package] in WHEEL["only-include"], f"add {PACKAGES[package]!r} to only-include of the wheel"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_known_to_the_tools(package: str) -> None:
    assert package in IMPORT_LINTER["root_packages"], f"add {package} to root_packages of importlinter"
    assert package in PROJECT["tool"]["deptry"]["known_first_party"], f"add {package} to known_first_party of deptry"


@pytest.mark.parametrize("connector", CONNECTORS)
def test_every_connector_can_be_found_and_knows_the_sdk_only(connector: str) -> None:
    entry_points = PROJECT["project"]["entry-points"]["fairlead.connectors"]
    name = connector.removeprefix("fairlead_")
    assert entry_points.get(name) == connector, f'add {name} = "{connector}" to the entry points'
    assert connector in CONTRACTS["connectors"]["source_modules"], f"add {connector} to the contract 'connectors'"
    siblings = CONTRACTS["packages"]["layers"][0].split(" | ")
    assert connector in siblings, f"add {connector} beside fairlead in the contract 'packages'"


def test_every_entry_point_has_its_connector() -> None:
    assert sorted(PROJECT["project"]["entry-points"]["fairlead.connectors"].values()) == CONNECTORS


def test_migrations_are_numbered_without_gaps_and_say_when_they_run() -> None:
    names = sorted(path.name for path in (ROOT / "migrations").glob("*.sql"))
    assert [name for name in names if name.split("_")[1] not in ("pre", "post")] == []
    assert [int(name.split("_")[0]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", ".ci/run", "docs/decisions"]
)
def test_a_newcomer_finds_what_every_repository_has(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("requirements", ["runtime.txt", "embedded.txt", "dev.txt", "uv.txt"])
def test_requirements_are_pinned_hashed_and_name_no_address(requirements: str) -> None:
    lines = (ROOT / "requirements" / requirements).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert [line for line in pins if "==" not in line or not line.endswith("\\")] == []
    assert sum("--hash=sha256:" in line for line in lines) >= len(pins) > 0
    assert [line for line in lines if "://" in line or "--index" in line or "--find-links" in line] == []
