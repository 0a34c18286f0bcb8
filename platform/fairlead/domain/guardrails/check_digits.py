"""Numbers that carry their own proof: whether the check digits of accounts, cards and national numbers fit."""

from collections.abc import Sequence
from datetime import date

_CODICE_ODD = dict(
    zip("0123456789", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True),
    **dict(
        zip(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
            strict=True,
        )
    ),
)
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


def iban_length(text: str) -> int | None:
    """How many characters of `text`, which has no spaces, are an IBAN at its beginning; None where there is none."""
    length = IBAN_LENGTHS.get(text[:2])
    if length is None or len(text) < length:
        return None
    moved = text[4:length] + text[:4]
    number = "".join(str(int(each, 36)) for each in moved)
    return length if int(number) % 97 == 1 else None


def luhn(digits: str) -> bool:
    total = sum(int(each) for each in digits[-1::-2])
    return (total + sum(sum(divmod(int(each) * 2, 10)) for each in digits[-2::-2])) % 10 == 0


def card(digits: str) -> bool:
    """Of a payment card: the beginnings that are given out, and Luhn's digit."""
    fits = {"3": (14, 15, 16), "4": (13, 16, 19), "5": (16,), "6": (16, 19)}.get(digits[0], ())
    if digits[0] == "2":
        fits = (16,) if "2221" <= digits[:4] <= "2720" else ()
    return len(digits) in fits and len(set(digits)) > 1 and luhn(digits)


def german_tax_id(digits: str) -> bool:
    """ISO 7064 MOD 11,10; of the first ten digits exactly one occurs twice or thrice."""
    if len(digits) != 11 or digits[0] == "0" or len(set(digits[:10])) not in (8, 9):
        return False
    product = 10
    for each in digits[:10]:
        product = ((int(each) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def dutch_bsn(digits: str) -> bool:
    return len(digits) == 9 and digits != "0" * 9 and _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def belgian(digits: str) -> bool:
    """Of people born before and since 2000."""
    if len(digits) != 11:
        return False
    body, check = digits[:9], int(digits[9:])
    return int(digits[2:4]) <= 12 and check in (97 - int(body) % 97, 97 - int("2" + body) % 97)


def french(digits: str) -> bool:
    return len(digits) == 15 and digits[0] in "12" and 97 - int(digits[:13]) % 97 == int(digits[13:])


def spanish(text: str) -> bool:
    """A DNI or an NIE."""
    number = {"X": "0", "Y": "1", "Z": "2"}.get(text[0], text[0]) + text[1:-1]
    return len(number) == 8 and number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


def italian(text: str) -> bool:
    odd = sum(_CODICE_ODD[each] for each in text[0:15:2])
    even = sum(int(each) if each.isdigit() else ord(each) - ord("A") for each in text[1:15:2])
    return len(text) == 16 and chr(ord("A") + (odd + even) % 26) == text[15]


def polish(digits: str) -> bool:
    if len(digits) != 11 or not _is_day(1900 + int(digits[:2]), int(digits[2:4]) % 20, int(digits[4:6])):
        return False
    return (10 - _weighted(digits[:10], (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(digits[10])


def swedish(digits: str) -> bool:
    """Ten digits, the day of birth first; numbers for coordination add 60 to the day."""
    day = int(digits[4:6])
    return len(digits) == 10 and _is_day(1904, int(digits[2:4]), day - 60 if day > 60 else day) and luhn(digits)


def finnish(text: str) -> bool:
    number = text[:6] + text[7:10]
    return (
        _is_day(1904, int(text[2:4]), int(text[:2])) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number) % 31] == text[10]
    )


def british_nhs(digits: str) -> bool:
    check = 11 - _weighted(digits[:9], (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return len(digits) == 10 and (0 if check == 11 else check) == int(digits[9])


def brazilian(digits: str) -> bool:
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    first = _weighted(digits[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = _weighted(digits[:10], range(11, 1, -1)) * 10 % 11 % 10
    return digits[9:] == f"{first}{second}"


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(each) * weight for each, weight in zip(digits, weights, strict=True))


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
