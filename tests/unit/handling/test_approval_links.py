"""Links in mails: made for one person and one approval, and believed only as they were made."""

from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId
from msgspec.structs import replace

from fairlead.domain.approvals import LinkRefused
from fairlead.domain.ids import ApprovalId
from fairlead.domain.redaction import redact_text
from fairlead.handling.approval_links import MAX_LINK, ApprovalLinks, LinkSays, hash_of
from fairlead.handling.capabilities import MarkKey
from tests.support.clock import T0
from tests.support.tenancy import TENANT

OLD, NEW = MarkKey("k1", b"1" * 32), MarkKey("k2", b"2" * 32)
LINKS = ApprovalLinks([OLD])
SAYS = LinkSays(
    key_id="k1",
    tenant_id=TENANT,
    approval_id=ApprovalId("apr_1-1"),
    principal_id=PrincipalId("prn_ann"),
    on_behalf_of=None,
    notice="requested",
    digest="d" * 64,
    until=T0,
)
LINK = LINKS.text_of(SAYS)


def test_a_link_says_what_it_was_made_for_and_is_the_same_when_it_is_made_again() -> None:
    assert LINKS.read(LINK) == SAYS
    assert LINKS.text_of(SAYS) == LINK
    assert len(LINK) < MAX_LINK / 2


@pytest.mark.parametrize(
    "change",
    [
        {"tenant_id": "tnt_other"},
        {"approval_id": "apr_1-2"},
        {"principal_id": "prn_bo"},
        {"on_behalf_of": "prn_bo"},
        {"notice": "due-soon"},
        {"digest": "e" * 64},
    ],
)
def test_everything_that_it_says_is_under_its_mark(change: dict[str, Any]) -> None:
    other = LINKS.text_of(replace(SAYS, **change))
    assert hash_of(other) != hash_of(LINK)
    with pytest.raises(LinkRefused):
        LINKS.read(f"{other.partition('.')[0]}.{LINK.partition('.')[2]}")


def test_no_letter_of_it_can_be_another_one() -> None:
    for place, letter in enumerate(LINK):
        with pytest.raises(LinkRefused):
            LINKS.read(f"{LINK[:place]}{'A' if letter != 'A' else 'B'}{LINK[place + 1 :]}")


@pytest.mark.parametrize(
    "text", ["", "fla_", "fla_.", "fla_x.y", f"{LINK}=", f"{LINK}.x", LINK[4:], "fla_" + "A" * 5_000, "fla_é.é"]
)
def test_rubbish_is_refused(text: str) -> None:
    with pytest.raises(LinkRefused):
        LINKS.read(text)


def test_keys_are_changed_while_links_are_out_and_others_make_none() -> None:
    assert ApprovalLinks([NEW, OLD]).read(LINK) == SAYS
    with pytest.raises(LinkRefused):
        ApprovalLinks([NEW]).read(LINK)
    with pytest.raises(LinkRefused):
        ApprovalLinks([MarkKey("k1", b"3" * 32)]).read(LINK)


def test_a_link_in_a_text_is_taken_for_the_secret_that_it_is() -> None:
    assert LINK not in redact_text(f"see https://fairlead.example/approve/{LINK} please")
