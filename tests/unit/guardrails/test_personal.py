"""Numbers of people and accounts: those whose check digits fit, and no others."""

import pytest

from fairlead.domain.guardrails.personal import PersonalData

FOUND = PersonalData()
# Published examples, and numbers made up so that their digits fit.
NUMBERS = {
    "iban": ["pay to DE89 3704 0044 0532 0130 00 today", "GB82WEST12345698765432", "fr14 2004 1010 0505 0001 3M02 606"],
    "card": ["4111 1111 1111 1111", "card 5500-0000-0000-0004.", "378282246310005"],
    "de_tax_id": ["Steuer-ID: 86 095 742 719", "tax id 47036892816"],
    "nl_bsn": ["BSN 111222333", "burgerservicenummer 1234.56.782"],
    "be_nrn": ["85.07.30-033.28", "rijksregisternummer 85073003328"],
    "fr_nir": ["2 55 08 14 168 025 38"],
    "es_dni": ["12345678Z", "X1234567L"],
    "it_cf": ["RSSMRA85T10A562S"],
    "pl_pesel": ["PESEL 44051401359"],
    "se_pnr": ["811228-9874"],
    "fi_hetu": ["131052-308T"],
    "gb_nhs": ["NHS number 943 476 5919"],
    "br_cpf": ["529.982.247-25"],
}
OTHERS = [
    "DE88 3704 0044 0532 0130 00",
    "order 4111 1111 1111 1112",
    "tracking 00340434161094015902123456789",
    "47036892816",
    "111222333",
    "tax id 47036892815",
    "943 476 5919",
    "12345678A",
    "RSSMRA85T10A562T",
    "0000 0000 0000 0000",
    "2026-11-22T00:00:00Z",
    "+49 30 901820 15",
    "invoice 2026-000123, 1,234.50 EUR",
    "",
]


def kinds(text: str) -> set[str]:
    return {span.kind for span in FOUND.find(text)}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NUMBERS.items() for text in texts])
def test_a_number_is_known_by_its_check_digits(kind: str, text: str) -> None:
    assert kind in kinds(text)


@pytest.mark.parametrize("text", OTHERS)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert kinds(text) == set()


@pytest.mark.parametrize(("kind", "text"), [(kind, texts[0]) for kind, texts in NUMBERS.items()])
def test_one_wrong_digit_is_another_number(kind: str, text: str) -> None:
    at = max(place for place, each in enumerate(text) if each.isdigit())
    assert kind not in kinds(f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}")


def test_the_number_and_nothing_around_it_is_the_piece() -> None:
    text = "from DE89 3704 0044 0532 0130 00 to 4111 1111 1111 1111 now"
    assert [text[span.start : span.end] for span in FOUND.find(text)] == [
        "DE89 3704 0044 0532 0130 00",
        "4111 1111 1111 1111",
    ]
