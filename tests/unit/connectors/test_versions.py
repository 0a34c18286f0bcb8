"""Which version is newer."""

import pytest

from fairlead.domain.connectors.versions import Version

ASCENDING = (
    "0.9.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.10",
    "1.9.0",
    "1.10.0",
    "2.0.0",
)


def test_versions_have_the_order_of_the_specification() -> None:
    assert [each.text for each in sorted(map(Version, reversed(ASCENDING)))] == list(ASCENDING)
    assert Version("1.0.0+a") == Version("1.0.0+b")
    assert len({Version("1.0.0+a"), Version("1.0.0")}) == 1


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "01.0.0", "1.0.0-", "1.0.0-a..b", "v1.0.0", "1.0.0 ", "1.0.0-" + "a" * 60]
)
def test_anything_else_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="semantic"):
        Version(text)


def test_a_pre_release_says_so() -> None:
    assert (Version("1.0.0").is_release, Version("1.0.0-rc.1").is_release) == (True, False)
