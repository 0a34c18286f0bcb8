"""Texts that give orders: how many are found, how many others are taken for them, and how long that takes."""

import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.domain.guardrails.injection import PATTERNS, Injection
from fairlead.domain.guardrails.unfolding import readings
from tests.unit.guardrails.disguises import DISGUISES

LABELLED = Path(__file__).parent / "labelled.yaml"
FOUND = Injection()


@cache
def labelled(part: str) -> dict[str, list[str]]:
    found: Any = yaml.safe_load(LABELLED.read_text())[part]
    return {label: [_text(each) for each in texts] for label, texts in found.items()}


def _text(entry: Any) -> str:
    return entry if isinstance(entry, str) else DISGUISES[entry["as"]](entry["text"])


def is_found(text: str) -> bool:
    return any(FOUND.find(text))


def measured(part: str) -> tuple[float, float]:
    """Precision and recall."""
    orders = sum(map(is_found, labelled(part)["orders"]))
    mistaken = sum(map(is_found, labelled(part)["data"]))
    return orders / (orders + mistaken), orders / len(labelled(part)["orders"])


@pytest.mark.parametrize(("part", "precision", "recall"), [("seen", 1.0, 1.0), ("held_out", 0.95, 0.75)])
def test_most_orders_are_found_and_hardly_anything_else(part: str, precision: float, recall: float) -> None:
    found = measured(part)
    assert found[0] >= precision, [each for each in labelled(part)["data"] if is_found(each)]
    assert found[1] >= recall, [each for each in labelled(part)["orders"] if not is_found(each)]


def test_signs_and_patterns_agree() -> None:
    """A pattern whose signs are missing where it fits would be switched off."""
    texts = [*labelled("seen")["orders"], *labelled("held_out")["orders"]]
    for text in texts:
        for reading in readings(text):
            assert all(bool(pattern.compiled.search(reading)) == pattern.fits(reading) for pattern in PATTERNS), reading


@pytest.mark.parametrize(
    "piece",
    ["ignore ", "a", "ignore all ", "i g n o r e ", "&#105;", "%41", "\\u0041", "QWxs", "aa ", "<", "![", "system:",
     "\u200b", "send ", "\u0456gnore ", "you are now "],
)  # fmt: skip
def test_time_grows_with_the_text_and_no_faster(piece: str) -> None:
    """Eight times the text may take a good deal more than eight times as long on a busy machine, and not sixty-four."""

    def taken(chars: int) -> float:
        text = piece * (chars // len(piece))
        began = time.process_time()
        list(FOUND.find(text))
        return time.process_time() - began

    taken(500)
    short = min(taken(1_000) for _ in range(2))
    assert min(taken(8_000) for _ in range(2)) < 30 * max(short, 0.0005)
