"""Text that others wrote cannot act on a terminal."""

import json

import pytest

from fairlead.cli.plain import plain, plain_json

HOSTILE = ["\x1b[2J", "a\rb", "\x9b31m", "\u202egpj.exe", "\u2028", "\x00", "\x7f", "\ufeff"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_terminal_acts_on_is_escaped(text: str) -> None:
    shown = plain(text)
    assert "\\" in shown
    assert shown.isprintable()


@pytest.mark.parametrize("text", ["", "Grüße", "zwei\nZeilen", "発注書", "👩‍💻", "a \\ b"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text
    assert plain_json(text) == text


@pytest.mark.parametrize("text", [*HOSTILE, "\U000e0041", "Grüße"])
def test_escaped_json_means_the_same(text: str) -> None:
    shown = plain_json(json.dumps({"name": text}, ensure_ascii=False))
    assert json.loads(shown) == {"name": text}
    assert shown.isprintable()
