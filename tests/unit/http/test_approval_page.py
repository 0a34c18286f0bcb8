"""The page behind a link: what is in it is text, and nothing comes from elsewhere."""

import base64
import hashlib
import re
from typing import Any

import pytest

from fairlead.api.approval_page import MAX_ROWS, Question, asked, said

NASTY = '"><script>alert(1)</script><img src=x onerror=1>&'


def question(**changes: Any) -> Question:
    fields: dict[str, Any] = {
        "tool": "bills.pay",
        "workflow": "pay",
        "reason": "large",
        "rule_id": "signed",
        "arguments": {"number": "4711"},
        "evidence": {"before": {"balance": 100, "same": 1}, "after": {"balance": 95, "same": 1}, "source": "books"},
        "asked_by": ("Eve",),
        "signed_by": (),
        "count": 1,
        "until": "01 Mar 2026, 12:00 UTC",
        "you": "Ann",
        "on_behalf_of": None,
        "digest": "d" * 64,
        "link": "fla_x.y",
    }
    return Question(**(fields | changes))


def test_what_would_change_stands_beside_what_there_is() -> None:
    text = asked(question()).content
    assert '<td class="old">100</td><td class="new">95</td>' in text
    assert "<td>1</td><td>1</td>" in text
    assert "books" in text
    made = asked(question(evidence={"before": None, "after": {"paid": True}})).content
    assert '<td></td><td class="new">true</td>' in made


@pytest.mark.parametrize("field", ["tool", "workflow", "reason", "rule_id", "you", "until", "digest", "link"])
def test_a_text_is_shown_as_a_text(field: str) -> None:
    assert "<script" not in asked(question(**{field: NASTY})).content


def test_so_is_what_came_from_outside() -> None:
    nested = {NASTY: [NASTY, {NASTY: NASTY}]}
    for changes in ({"arguments": nested}, {"evidence": nested}, {"evidence": {"before": nested, "after": NASTY}}):
        text = asked(
            question(asked_by=(NASTY,), signed_by=(NASTY,), on_behalf_of=NASTY, **changes), NASTY, NASTY
        ).content
        assert "<script" not in text
        assert "<img" not in text
    assert "<script" not in said(NASTY, NASTY).content


def test_nothing_comes_from_elsewhere_and_only_our_own_style_counts() -> None:
    page = asked(question())
    policy = page.headers["Content-Security-Policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", page.content, re.DOTALL)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=|url\(|https?://|<script| on[a-z]+=", page.content)
    assert page.headers["Referrer-Policy"] == "no-referrer"


def test_what_is_long_is_cut_and_says_so() -> None:
    long = asked(question(arguments={f"k{number}": "x" for number in range(MAX_ROWS + 5)} | {"k0": "y" * 30_000}))
    assert "And 5 more" in long.content
    assert "cut off here" in long.content
