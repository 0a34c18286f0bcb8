"""Identifiers of tenancy. Text, prefixed, time-ordered; safe as a subject token and in a URL."""

from typing import NewType

TenantId = NewType("TenantId", str)  # tnt_…
WorkspaceId = NewType("WorkspaceId", str)  # wsp_…
EnvironmentId = NewType("EnvironmentId", str)  # env_…
PrincipalId = NewType("PrincipalId", str)  # prn_…: a person, a service account or an agent
ApiKeyId = NewType("ApiKeyId", str)  # key_…

BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, lower case: sorts as the number does, no i, l, o, u
ID_BODY_LENGTH = 26  # 128 bits
_PAIRS = tuple(first + second for first in BASE32 for second in BASE32)


def base32(number: int, length: int) -> str:
    """Exactly `length` digits, most significant first. The number must fit."""
    assert 0 <= number < 32**length, "the number fits the length"
    shifts = range(10 * ((length + 1) // 2) - 10, -1, -10)
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in shifts])[length % 2 :]
