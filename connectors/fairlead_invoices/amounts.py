"""Money as integer minor units, quantities and prices as exact decimal text; rational arithmetic in between.

Nothing here is ever a float, and every rounding is half away from zero to one minor unit.
"""

import re
from fractions import Fraction
from typing import Annotated

from msgspec import Meta

MAX_BP = 1_000_000
MAX_MINOR = 10**15 - 1  # exact in a double, so that no JSON reader can lose a cent
DECIMAL = r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{0,11}[1-9])?$"

Minor = Annotated[int, Meta(ge=-MAX_MINOR, le=MAX_MINOR, description="Minor units of the document's currency.")]
DecimalText = Annotated[
    str, Meta(pattern=DECIMAL, max_length=32, description="Exact decimal without exponent or trailing zeros.")
]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217.")]

_XSD_DECIMAL = re.compile(r"([+-]?)([0-9]{0,18})(?:\.([0-9]{0,12}))?", re.ASCII)

# Tables of codes, a row of words each: literals would fill 170 lines.
_WITHOUT_MINOR = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split())  # noqa: SIM905
_THOUSANDTHS = frozenset("BHD IQD JOD KWD LYD OMR TND".split())  # noqa: SIM905
_TWO_DECIMALS = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC
CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR
NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT
TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST YER ZAR ZMW
"""
_HUNDREDTHS = frozenset(_TWO_DECIMALS.split())


def exponent(currency: str) -> int:
    """Decimals of a currency's minor unit. Raises ValueError for a code that is not in use."""
    if currency in _HUNDREDTHS:
        return 2
    if currency in _WITHOUT_MINOR:
        return 0
    if currency in _THOUSANDTHS:
        return 3
    raise ValueError("not the code of a currency in use")


def decimal_text(text: str) -> str:
    """Canonical form of an XML decimal: `+025.50` is `25.5`, `-0.0` is `0`. Raises ValueError."""
    match = _XSD_DECIMAL.fullmatch(text.strip())
    if match is None or not (match[2] or match[3]):
        raise ValueError("not a decimal number of at most 18 digits and 12 decimals")
    whole, part = match[2].lstrip("0") or "0", (match[3] or "").rstrip("0")
    number = f"{whole}.{part}" if part else whole
    return f"-{number}" if match[1] == "-" and number != "0" else number


def minor_units(text: str, currency: str) -> int:
    """`"250.33"` in EUR is 25033. Raises ValueError when the amount is finer than the currency or too large."""
    value = Fraction(decimal_text(text)) * Fraction(10) ** exponent(currency)
    if value.denominator != 1:
        raise ValueError(f"finer than the smallest unit of {currency}")
    if abs(value.numerator) > MAX_MINOR:
        raise ValueError("larger than any amount that is accepted")
    return value.numerator


def rounded(value: Fraction) -> int:
    """To the nearest integer, halves away from zero."""
    whole = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return whole if value >= 0 else -whole


def rounded_minor(value: Fraction, currency: str) -> int:
    """An amount in whole units of the currency, as minor units."""
    return rounded(value * 10 ** exponent(currency))


def ratio_bp(part_minor: int, whole_minor: int) -> int:
    """Basis points, rounded up so that a limit is never passed unseen; the maximum when there is no whole."""
    if part_minor == 0:
        return 0
    if whole_minor == 0:
        return MAX_BP
    return min(-(-abs(part_minor) * 10_000 // abs(whole_minor)), MAX_BP)
