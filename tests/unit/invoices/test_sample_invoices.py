"""The samples of the example say what their names promise, so that the demonstration shows what it says."""

import pytest
from fairlead_sdk import Refused

from fairlead_invoices.extraction import extract
from tests.support.invoices import SAMPLES, sample

NAMES = sorted(path.name for path in SAMPLES.glob("*.xml"))


def test_there_are_twelve_in_both_syntaxes_and_of_both_kinds() -> None:
    read = [extract(sample(name)) for name in NAMES if "malformed" not in name]
    assert len(NAMES) == 12
    assert {each.format for each in read} == {"ubl-invoice", "ubl-credit-note", "cii"}


@pytest.mark.parametrize("name", [name for name in NAMES if "malformed" not in name])
def test_the_figures_of_a_sample_agree_unless_it_is_about_that(name: str) -> None:
    rules = [finding.rule for finding in extract(sample(name)).checks]
    assert rules == (["BR-CO-10"] if "disagree" in name else [])


def test_the_malformed_sample_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        extract(sample("07-malformed.xml"))
    assert refused.value.code == "malformed_document"
