"""The catalogue of an installation: what may be published after what, reviewed, installed and taken back."""

import hashlib
from typing import Any

import pytest
from fairlead_sdk import Effect, JsonSchema
from fairlead_sdk.description import described, plain

from fairlead.domain.connectors import catalogue as c
from fairlead.domain.connectors.package import AuthorNotAllowed, Package
from fairlead.domain.envelope import Event
from tests.support.connectors import manifest, tool

AUTHOR, OTHER = "a" * 64, "b" * 64
FIRST = "1.0.0"


def package(version: str = FIRST, *, author: str = AUTHOR, content: str = "", **fields: Any) -> Package:
    said = described(manifest(**{"version": version, **fields}))
    return Package(
        name="bills",
        version=version,
        module="bills",
        manifest=said,
        author_key=author,
        digest=hashlib.sha256(f"{version}{author}{content}{said}".encode()).hexdigest(),
        files={},
    )


def publish(version: str = FIRST, *, new_author: bool = False, **fields: Any) -> c.PublishConnector:
    return c.PublishConnector(package=package(version, **fields), package_bytes=10, new_author=new_author)


def published(version: str = FIRST, **fields: Any) -> c.ConnectorPublished:
    made = package(version, **fields)
    return c.ConnectorPublished(
        name="bills",
        version=version,
        manifest=plain(made.manifest),
        author_key=made.author_key,
        package_sha256=made.digest,
        package_bytes=10,
    )


def reviewed(verdict: c.Verdict = "approved", version: str = FIRST) -> c.ConnectorReviewed:
    return c.ConnectorReviewed(version=version, verdict=verdict, reason="read")


INSTALLED = c.ConnectorInstalled(version=FIRST)
WITHDRAWN = c.ConnectorWithdrawn(version=FIRST, reason="a hole")


def decided(history: list[Any], command: c.ConnectorCommand) -> list[Event]:
    state = c.initial()
    for event in history:
        state = c.evolve(state, event)
    return list(c.decide(command, state))


def test_the_first_version_is_published_as_it_was_signed() -> None:
    assert decided([], publish()) == [published()]


def test_publishing_the_same_package_again_changes_nothing() -> None:
    assert decided([published()], publish()) == []
    assert decided([published(), WITHDRAWN], publish()) == []


@pytest.mark.parametrize("version", ["1.0.1", "1.1.0", "2.0.0", "2.0.0-rc.1", "0.9.0"])
def test_a_newer_version_may_follow(version: str) -> None:
    assert decided([published()], publish(version)) == [published(version)]


def test_a_fix_of_an_older_major_version_may_come_after_a_newer_one() -> None:
    assert decided([published(), published("2.0.0")], publish("1.0.1")) == [published("1.0.1")]


@pytest.mark.parametrize(
    ("history", "command", "error"),
    [
        ([published()], publish(content="other"), c.VersionTaken),
        ([published("1.2.0")], publish("1.1.0"), c.VersionNotNewer),
        ([published("1.0.0")], publish("1.0.0-rc.1"), c.VersionNotNewer),
        ([published("1.0.0+a")], publish("1.0.0+b"), c.VersionNotNewer),
        ([published()], publish("1.1.0", author=OTHER), c.AnotherAuthor),
        ([published()], publish("2.0.0", author=OTHER), c.AnotherAuthor),
        ([published(), WITHDRAWN], publish("1.0.0", content="other"), c.VersionTaken),
    ],
)
def test_what_may_not_follow_is_refused(history: list[Any], command: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        decided(history, command)


def test_an_operator_may_let_another_author_go_on() -> None:
    taken_over = published("1.1.0", author=OTHER)
    assert decided([published()], publish("1.1.0", author=OTHER, new_author=True)) == [taken_over]
    assert decided([published(), taken_over], publish("1.2.0", author=OTHER)) != []


NARROWER = JsonSchema({"type": "object", "properties": {}, "additionalProperties": False})


def test_an_incompatible_version_is_refused_with_every_difference() -> None:
    changed = (tool(input=NARROWER, effect=Effect.DESTRUCTIVE),)
    with pytest.raises(c.VersionIncompatible) as refused:
        decided([published()], publish("1.1.0", tools=changed))
    assert [each.code for each in refused.value.differences] == ["effect_changed", "input_narrowed", "input_narrowed"]
    assert "bills.pay/input/amount: what was sent is not a field (input_narrowed)" in str(refused.value)
    assert decided([published()], publish("2.0.0", tools=changed)) != []


def test_a_rejected_version_binds_nobody() -> None:
    history = [published("1.5.0", tools=(tool(scopes=("x",)),), author=OTHER), reviewed("rejected", "1.5.0")]
    assert decided(history, publish("1.1.0")) == [published("1.1.0")]


def test_a_version_is_reviewed_once() -> None:
    approve = c.ReviewConnector(version=FIRST, verdict="approved", reason=" read ")
    reject = c.ReviewConnector(version=FIRST, verdict="rejected", reason="read")
    assert decided([published()], approve) == [reviewed()]
    assert decided([published()], reject) == [reviewed("rejected")]
    assert decided([published(), reviewed()], approve) == []
    for history in ([published(), reviewed()], [published(), WITHDRAWN]):
        with pytest.raises(c.NotReviewable):
            decided(history, reject)


def install(*authors: str) -> c.InstallConnector:
    return c.InstallConnector(version=FIRST, authors=frozenset(authors))


def test_what_was_approved_is_installed_when_its_author_is_allowed() -> None:
    assert decided([published(), reviewed()], install(AUTHOR, OTHER)) == [INSTALLED]
    assert decided([published(), reviewed(), INSTALLED], install(AUTHOR)) == []


@pytest.mark.parametrize(
    ("history", "authors", "error"),
    [
        ([], (AUTHOR,), c.ConnectorUnknown),
        ([published()], (AUTHOR,), c.NotInstallable),
        ([published(), reviewed("rejected")], (AUTHOR,), c.NotInstallable),
        ([published(), reviewed(), WITHDRAWN], (AUTHOR,), c.NotInstallable),
        ([published(), reviewed()], (OTHER,), AuthorNotAllowed),
        ([published(), reviewed()], (), AuthorNotAllowed),
    ],
)
def test_anything_else_is_not_installed(history: list[Any], authors: tuple[str, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        decided(history, install(*authors))


def test_taking_back_is_for_good() -> None:
    withdraw = c.WithdrawConnector(version=FIRST, reason="a hole")
    history = [published(), reviewed(), INSTALLED]
    assert decided(history, withdraw) == [WITHDRAWN]
    assert decided([*history, WITHDRAWN], withdraw) == []
    assert decided([*history, WITHDRAWN], c.UninstallConnector(version=FIRST)) == []
    with pytest.raises(c.NotInstallable):
        decided([*history, WITHDRAWN], install(AUTHOR))


def test_what_was_uninstalled_can_be_installed_again() -> None:
    uninstall = c.UninstallConnector(version=FIRST)
    history = [published(), reviewed(), INSTALLED]
    assert decided(history, uninstall) == [c.ConnectorUninstalled(version=FIRST)]
    assert decided([*history, c.ConnectorUninstalled(version=FIRST)], install(AUTHOR)) == [INSTALLED]
    assert decided([published()], uninstall) == []


def test_no_tenant_can_have_the_catalogues_own_id() -> None:
    from fairlead_tenants.ids import BASE32

    assert not set(c.INSTALLATION.partition("_")[2]) <= set(BASE32)
