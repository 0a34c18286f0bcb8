"""Names of tools on the wire: safe, distinct, and with a way back."""

import re

from hypothesis import given
from hypothesis import strategies as st

from fairlead.domain.models.naming import WireNames

tools = st.lists(
    st.text("ab._- é", min_size=1, max_size=6) | st.text(min_size=60, max_size=140), max_size=8, unique=True
)


@given(tools, st.randoms())
def test_every_set_of_tools_has_safe_names_with_an_exact_way_back(names: list[str], chance: object) -> None:
    there = WireNames(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", there.on_wire(name)) for name in names)
    assert [there.tool(there.on_wire(name)) for name in names] == names
    again = WireNames(reversed(names))
    assert [again.on_wire(name) for name in names] == [there.on_wire(name) for name in names]


def test_names_stay_readable_and_only_those_that_collide_are_marked() -> None:
    names = WireNames(["billing.refund", "mail.send", "mail_send"])
    assert names.on_wire("billing.refund") == "billing_refund"
    assert names.on_wire("mail_send") == "mail_send"
    assert re.fullmatch(r"mail_send_[0-9a-f]{8}", names.on_wire("mail.send"))


def test_a_name_that_was_never_offered_is_nobodys() -> None:
    assert WireNames(["mail.send"]).tool("mail_delete") is None
